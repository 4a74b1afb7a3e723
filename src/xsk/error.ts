import { BarewireError, type ErrorDetails } from '../error.ts';

/** The interface has no such queue. `code` is `BW_NO_QUEUE`. */
export class NoQueueError extends BarewireError {
  readonly interface: string;
  readonly queue: number;

  constructor(name: string, queue: number, queues: number) {
    super('BW_NO_QUEUE', `${name} has no queue ${queue}`, {
      hint: queues === 1 ? 'It has one, number 0.' : `It has ${queues}, numbers 0 to ${queues - 1}.`,
    });
    this.interface = name;
    this.queue = queue;
  }
}

/** Another socket has the queue. `code` is `BW_QUEUE_BUSY`. */
export class QueueBusyError extends BarewireError {
  readonly interface: string;
  readonly queue: number;

  constructor(name: string, queue: number, cause: unknown) {
    super('BW_QUEUE_BUSY', `queue ${queue} of ${name} belongs to another AF_XDP socket`, {
      hint: 'End the program that has it; one that was just closed lets go of it within moments.',
      cause,
    });
    this.interface = name;
    this.queue = queue;
  }
}

/** The interface went away while it was in use. `code` is `BW_INTERFACE_GONE`. */
export class InterfaceGoneError extends BarewireError {
  readonly interface: string;

  constructor(name: string, details: ErrorDetails = {}) {
    super('BW_INTERFACE_GONE', `the interface ${name} went away`, details);
    this.interface = name;
  }
}
