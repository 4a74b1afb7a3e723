import {
  type Acknowledgement,
  decodeAcknowledgement,
  decodeMessages,
  type Message,
  NLM_F,
  NLMSG,
} from './message.ts';

/** Everything the kernel said to one request. */
export interface Answer {
  /** Without the closing ERROR or DONE message. */
  readonly messages: readonly Message[];
  readonly acknowledgement: Acknowledgement;
  /** What was listed changed meanwhile: entries may be missing or double. */
  readonly interrupted: boolean;
}

/**
 * Reads datagrams until one closes the answer.
 *
 * Messages with another sequence number or port are passed over: they are left from a request that was given up, or
 * meant for somebody else.
 *
 * @param receive Gives the next datagram, or says that some were lost.
 * @throws CodecError when a message is cut off.
 */
export function collectAnswer(
  receive: () => Uint8Array | 'overrun',
  sequence: number,
  port: number,
): Answer | 'overrun' {
  const messages: Message[] = [];
  let interrupted = false;
  for (;;) {
    const datagram = receive();
    if (datagram === 'overrun') return 'overrun';
    for (const message of decodeMessages(datagram)) {
      if (message.sequence !== sequence || message.port !== port) continue;
      interrupted ||= (message.flags & NLM_F.DUMP_INTR) !== 0;
      if (message.type === NLMSG.ERROR || message.type === NLMSG.DONE) {
        return { messages, acknowledgement: decodeAcknowledgement(message), interrupted };
      }
      if (message.type !== NLMSG.NOOP) messages.push(message);
    }
  }
}

/**
 * Asks for a list again while the kernel calls it inconsistent or has lost a part of it.
 *
 * @returns The first whole answer, or what was wrong with the last one.
 */
export function askUntilWhole(
  ask: () => Answer | 'overrun',
  attempts: number,
): Answer | 'overrun' | 'interrupted' {
  for (let attempt = 1; ; attempt++) {
    const answer = ask();
    const whole = answer !== 'overrun' && (!answer.interrupted || answer.acknowledgement.errno !== 0);
    if (whole) return answer;
    if (attempt >= attempts) return answer === 'overrun' ? answer : 'interrupted';
  }
}
