import type { ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { ArgumentError, BarewireError } from '../error.ts';
import { Netns } from '../sys/index.ts';
import { dismissCaretaker, hireCaretaker } from './caretaker.ts';
import { LabHost } from './host.ts';
import {
  allRecords,
  destroyRecorded,
  isAlive,
  isLeftover,
  type LabRecord,
  namespaceName,
  ownProcess,
  type ProcessId,
  processOf,
  readRecord,
  writeRecord,
} from './record.ts';
import { type LabSpec, type ResolvedLab, requireName, resolveLab } from './spec.ts';

/**
 * A private network: hosts in namespaces of their own, joined by wires, apart from every real interface.
 *
 * It is torn down by `destroy()` (or `using`), when the process exits, and, if the process was killed, by a caretaker that
 * waits for its end, or at the latest by the next lab that anybody makes on the machine.
 *
 * @example
 * using lab = Lab.create({ hosts: ['client', 'server'], wires: [{ between: ['client', 'server'] }] });
 * lab.host('client').exec('ping', ['-c', '1', '10.77.0.2']);
 */
export class Lab implements Disposable {
  readonly name: string;
  readonly hosts: readonly LabHost[];
  #record: LabRecord;
  #destroyed = false;
  readonly #onExit = (): void => this.#destroyOwn();

  private constructor(record: LabRecord, namespaces: readonly Netns[]) {
    this.name = record.name;
    this.#record = record;
    this.hosts = record.hosts.map((name, i) => {
      const namespace = record.namespaces[i];
      const netns = namespaces[i];
      if (namespace === undefined || netns === undefined)
        throw new ArgumentError(`lab ${record.name} is torn`);
      return new LabHost(name, namespace, netns, (child) => this.#remember(child));
    });
    if (record.owner !== null) {
      process.on('exit', this.#onExit);
      hireCaretaker(record.owner);
    }
  }

  /**
   * Makes the lab, and first clears away those whose makers died.
   *
   * @throws BarewireError `BW_EXISTS` when a lab of that name stands.
   */
  static create(spec: LabSpec): Lab {
    const resolved = resolveLab(spec);
    Lab.clearLeftovers();
    const name = requireName('lab', spec.name ?? `t${process.pid}-${randomBytes(3).toString('hex')}`);
    if (readRecord(name) !== undefined) {
      throw new BarewireError('BW_EXISTS', `there is a lab named '${name}' already`, {
        hint: `Choose another name, or take it down: barewire lab down ${name}`,
      });
    }
    const hosts = resolved.hosts.map((host) => host.name);
    const record: LabRecord = {
      name,
      owner: spec.persistent ? null : ownProcess(),
      hosts,
      namespaces: hosts.map((host) => namespaceName(name, host)),
      processes: [],
    };
    // Written down before it is made: whenever this process dies, its successors know what to look for.
    writeRecord(record);
    const namespaces: Netns[] = [];
    try {
      for (const namespace of record.namespaces) namespaces.push(Netns.create(namespace));
      const lab = new Lab(record, namespaces);
      try {
        build(lab, resolved);
        return lab;
      } catch (error) {
        lab.destroy();
        throw error;
      }
    } catch (error) {
      for (const netns of namespaces) netns.close();
      destroyRecorded(record);
      throw error;
    }
  }

  /** Opens a lab that stands, such as one made by `barewire lab up`. */
  static open(name: string): Lab {
    const record = readRecord(name);
    if (record === undefined) {
      const known = Lab.list().map((lab) => lab.name);
      throw new BarewireError('BW_NO_LAB', `there is no lab named '${name}'`, {
        hint: known.length === 0 ? 'Make one: barewire lab up NAME' : `There are: ${known.join(', ')}.`,
      });
    }
    const namespaces: Netns[] = [];
    try {
      for (const namespace of record.namespaces) namespaces.push(Netns.open(namespace));
    } catch (error) {
      for (const netns of namespaces) netns.close();
      throw error;
    }
    return new Lab({ ...record, owner: null }, namespaces);
  }

  /** Every lab that stands. */
  static list(): LabRecord[] {
    return allRecords();
  }

  /** Takes down the labs whose makers are gone, and only those. Returns their names. */
  static clearLeftovers(): string[] {
    const leftovers = allRecords().filter(isLeftover);
    for (const record of leftovers) destroyRecorded(record);
    return leftovers.map((record) => record.name);
  }

  /** Takes a lab down by its name, also when parts of it are gone. @throws BarewireError `BW_NO_LAB`. */
  static remove(name: string): void {
    try {
      Lab.open(name).destroy();
    } catch (error) {
      const record = (error as BarewireError).code === 'BW_NO_NETNS' ? readRecord(name) : undefined;
      if (record === undefined) throw error;
      destroyRecorded(record);
    }
  }

  /** @throws ArgumentError when there is no such host. */
  host(name: string): LabHost {
    const host = this.hosts.find((candidate) => candidate.name === name);
    if (host === undefined) {
      const known = this.hosts.map((candidate) => candidate.name).join(', ');
      throw new ArgumentError(`lab ${this.name} has no host '${name}'`, { hint: `There are: ${known}.` });
    }
    return host;
  }

  /** Gives back this process's descriptors and leaves the lab standing. */
  close(): void {
    if (this.#destroyed) return;
    this.#destroyed = true;
    process.off('exit', this.#onExit);
    if (this.#record.owner !== null) dismissCaretaker();
    for (const host of this.hosts) host.close();
  }

  /** Ends the lab's processes and takes it down. A second call does nothing. */
  destroy(): void {
    if (this.#destroyed) return;
    // A namespace whose last process lingers keeps its wires: take them away first.
    for (const host of this.hosts) removeWires(host);
    this.close();
    destroyRecorded(this.#record);
  }

  [Symbol.dispose](): void {
    this.destroy();
  }

  #destroyOwn(): void {
    try {
      this.destroy();
    } catch {
      // The process is ending; what remains is cleared by the next lab.
    }
  }

  #remember(child: ChildProcess): void {
    const id = child.pid === undefined ? undefined : processOf(child.pid);
    if (id === undefined) return;
    const living: ProcessId[] = this.#record.processes.filter(isAlive);
    this.#record = { ...this.#record, processes: [...living, id] };
    writeRecord(this.#record);
  }
}

function build(lab: Lab, { hosts, wires }: ResolvedLab): void {
  for (const host of lab.hosts) {
    host.net.links.set('lo', { up: true });
    // Duplicate address detection would make each new address wait a second for an answer that cannot come.
    for (const scope of ['default', 'all']) host.sysctl(`net.ipv6.conf.${scope}.accept_dad`, 0);
  }
  for (const { ends, mtu, queues } of wires) {
    const [left, right] = ends;
    const options = { mtu, txQueues: queues, rxQueues: queues };
    lab.host(left.host).net.links.create({
      ...options,
      kind: 'veth',
      name: left.interface,
      address: left.mac,
      peer: { ...options, name: right.interface, address: right.mac, netns: lab.host(right.host).netns },
    });
    for (const end of ends) lab.host(end.host).net.links.set(end.interface, { up: true });
    for (const end of ends) {
      const { net } = lab.host(end.host);
      // Nobody else is on the wire, so an address need not wait a second for an objection.
      for (const address of end.addresses) {
        net.addresses.add(end.interface, address, address.includes(':') ? { noDad: true } : {});
      }
    }
  }
  for (const { name, forwarding, gateway } of hosts) {
    const host = lab.host(name);
    if (forwarding) {
      host.sysctl('net.ipv4.ip_forward', 1);
      host.sysctl('net.ipv6.conf.all.forwarding', 1);
    }
    if (gateway !== undefined) host.net.routes.add({ destination: 'default', via: gateway });
  }
}

function removeWires(host: LabHost): void {
  for (const link of host.net.links.list()) {
    if (link.kind !== 'veth') continue;
    try {
      host.net.links.delete(link.index);
    } catch (error) {
      // The other end took it along.
      if (
        (error as BarewireError).code !== 'BW_NO_INTERFACE' &&
        (error as BarewireError).code !== 'BW_NOT_FOUND'
      ) {
        throw error;
      }
    }
  }
}
