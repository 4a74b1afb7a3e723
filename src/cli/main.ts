#!/usr/bin/env node
/** The command from its modules: what `-v` runs, for stack traces that name them. `launch.cts` is what people start. */
import { start } from './start.ts';

await start();
