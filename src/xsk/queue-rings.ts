import { ConsumerRing, ProducerRing, type RingPlace } from './ring.ts';

/**
 * The two rings through which frames change hands without packets: fill (ours to the kernel, to receive into) and
 * completion (back to us, sent). One pair for each queue; sockets that share a queue share the pair.
 */
export class QueueRings {
  readonly fill: ProducerRing;
  readonly completion: ConsumerRing;
  /** Frames handed over through the fill ring and not yet received, wherever in the kernel they are. */
  filled: number;
  /** Frames sent and not yet completed. */
  sending: number;

  constructor(words: Int32Array, fill: RingPlace, completion: RingPlace, filled: number, sending: number) {
    this.fill = new ProducerRing(words, fill);
    this.completion = new ConsumerRing(words, completion);
    this.filled = filled;
    this.sending = sending;
  }
}
