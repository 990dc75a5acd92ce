/** A plain user of a driver, for the suite: checks the contract on every request it makes. */

import {
  type BlockDriver,
  type BlockOp,
  type BlockRequest,
  OP_READ,
  OP_WRITE,
  PENDING,
} from './driver.ts';
import { codeOf } from './error.ts';
import { SegmentVector } from './io-vector.ts';
import { operationName } from './operation.ts';

/** Largest number that Linux uses for an errno. */
const ERRNO_MAX = 4095;

/** Throws with `message` unless `condition` holds. */
export function check(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Error(message);
}

export class DriverClient {
  readonly driver: BlockDriver;

  constructor(driver: BlockDriver) {
    this.driver = driver;
  }

  /** Reads `length` bytes into `bytes` at `start`. */
  async read(offset: number, bytes: Uint8Array, start = 0, length = bytes.length): Promise<void> {
    const vector = new SegmentVector(bytes);
    vector.append(start, length);
    await this.transfer(OP_READ, offset, vector);
  }

  /** Writes all of `bytes`. */
  async write(offset: number, bytes: Uint8Array, flags = 0): Promise<void> {
    const vector = new SegmentVector(bytes);
    vector.append(0, bytes.length);
    await this.transfer(OP_WRITE, offset, vector, flags);
  }

  /** Moves all of `vector`, carrying on short transfers as a lane does. */
  async transfer(op: BlockOp, offset: number, vector: SegmentVector, flags = 0): Promise<void> {
    const rest = new SegmentVector();
    for (let done = 0; done < vector.total; ) {
      rest.slice(vector, done, vector.total - done);
      const moved = await this.submit(op, offset + done, vector.total - done, rest, flags);
      check(moved >= 0, `${operationName(op)} at ${offset + done} failed: ${codeOf(moved)}`);
      check(moved > 0, `${operationName(op)} at ${offset + done} moved nothing inside the disk`);
      done += moved;
    }
  }

  /** An operation without data. It must succeed. */
  async command(op: BlockOp, offset = 0, length = 0, flags = 0): Promise<void> {
    const result = await this.submit(op, offset, length, new SegmentVector(), flags);
    check(result >= 0, `${operationName(op)} failed: ${codeOf(result)}`);
  }

  /** One `submit`, and what it came to. */
  submit(
    op: BlockOp,
    offset: number,
    length: number,
    vector: SegmentVector,
    flags = 0,
  ): Promise<number> {
    const { driver } = this;
    return new Promise((resolve, reject) => {
      let returned = false;
      let settled = false;
      const settle = (result: number): void => {
        try {
          check(returned, 'settled inside submit');
          check(!settled, 'settled twice');
          settled = true;
          checkResult(result, length);
          resolve(result);
        } catch (thrown) {
          reject(thrown as Error);
        }
      };
      const request: BlockRequest = { op, offset, length, flags, vector, settle };
      const result = driver.submit(request);
      returned = true;
      if (result === PENDING) {
        check(driver.settles !== 'inline', "settles 'inline', but answered PENDING");
        return;
      }
      settled = true;
      checkResult(result, length);
      resolve(result);
    });
  }
}

function checkResult(result: number, length: number): void {
  check(Number.isInteger(result), `a result is a whole number, not ${result}`);
  check(result <= length, `a request of ${length} bytes moved ${result}`);
  check(result >= -ERRNO_MAX, `${result} is no errno`);
}
