/** Deferred calls: once per function and argument, at the end of the outermost section. */
import { afterEach, describe, expect, it } from 'vitest';
import { deferCall, deferCallBegin, deferCallEnd, deferCalls } from '#src/aio/defer-call';

const log: string[] = [];
const tell = (what: string) => {
  log.push(what);
};
const shout = (what: string) => {
  log.push(what.toUpperCase());
};

afterEach(() => {
  log.length = 0;
});

describe('deferred calls', () => {
  it('TP-6 outside of a section a call is made at once, each time', () => {
    deferCall(tell, 'a');
    deferCall(tell, 'a');
    expect(log).toEqual(['a', 'a']);
  });

  it('TP-6 inside, once per function and argument, in the order of first asking', () => {
    deferCallBegin();
    for (const what of ['b', 'a', 'b', 'a']) deferCall(tell, what);
    deferCall(shout, 'b');
    expect(log).toEqual([]);
    deferCallEnd();
    expect(log).toEqual(['b', 'a', 'B']);
  });

  it('TP-6 only the outermost end makes the calls, and the next section starts empty', () => {
    deferCalls(() => {
      deferCalls(() => deferCall(tell, 'inner'));
      deferCall(tell, 'outer');
      expect(log).toEqual([]);
    });
    deferCalls(() => {});
    expect(log).toEqual(['inner', 'outer']);
  });

  it('TP-6 an error inside a section loses no call', () => {
    const failing = () =>
      deferCalls(() => {
        deferCall(tell, 'interrupt');
        throw new Error('a bad request');
      });
    expect(failing).toThrow('a bad request');
    expect(log).toEqual(['interrupt']);
  });

  it('TP-6 a call that throws keeps none of the others, and the first error is told', () => {
    const failing = (what: string) => {
      throw new Error(what);
    };
    const section = () =>
      deferCalls(() => {
        deferCall(failing, 'first');
        deferCall(tell, 'between');
        deferCall(failing, 'second');
      });
    expect(section).toThrow('first');
    expect(log).toEqual(['between']);
  });

  it('TP-6 a call asked for by a deferred call is made at once', () => {
    const again = (what: string) => deferCall(tell, what);
    deferCalls(() => {
      deferCall(again, 'a');
      deferCall(tell, 'b');
    });
    expect(log).toEqual(['a', 'b']);
  });

  it('TP-6 an end without a begin is refused', () => {
    expect(deferCallEnd).toThrow('deferCallEnd without deferCallBegin');
    deferCall(tell, 'still outside');
    expect(log).toEqual(['still outside']);
  });
});
