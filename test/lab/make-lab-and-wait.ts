/** Makes a lab with a process in it, says so, and waits to be killed. */
import { Lab } from '../../src/lab/index.ts';

const lab = Lab.create({ hosts: ['left', 'right'], wires: [{ between: ['left', 'right'] }] });
const child = lab.host('left').spawn('sleep', ['1000'], { stdio: 'ignore', detached: true });
process.stdout.write(JSON.stringify({ name: lab.name, sleeper: child.pid }));
setInterval(() => {}, 1000);
