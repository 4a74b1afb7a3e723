import { TunDevice, type TunOptions } from '../../src/tun/index.ts';

/** Two TUN devices whose packets go from one to the other: a line with an address at each end. */
export class TunWire implements Disposable {
  readonly near: TunDevice;
  readonly far: TunDevice;
  /** Packets that `near` sent. */
  sent = 0;
  /** Whether packets of `near` reach the other end. */
  open = true;

  constructor(near: TunOptions, far: TunOptions) {
    this.near = TunDevice.open(near);
    this.far = TunDevice.open(far);
    const [out] = this.near.queues;
    const [back] = this.far.queues;
    out?.watch(() =>
      out.receive((bytes, at, length) => {
        this.sent++;
        if (this.open) back?.send(bytes.subarray(at, at + length));
      }),
    );
    back?.watch(() => back.receive((bytes, at, length) => void out?.send(bytes.subarray(at, at + length))));
  }

  [Symbol.dispose](): void {
    this.near.close();
    this.far.close();
  }
}
