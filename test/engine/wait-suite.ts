/** Who sleeps, polls, visits, waits and gets mail (behaviour 3.2, 3.5, 3.9). */

import { describe, expect, it } from 'vitest';
import {
  CONTEXT_DEPTH,
  CONTEXT_HOME,
  CONTEXT_MAIL_RECEIVED,
  CONTEXT_MAIL_SENT,
  CONTEXT_NOTIFIED,
  CONTEXT_NOTIFY_ME,
  CONTEXT_SIZE,
  CONTEXT_VISITS,
  CONTEXT_WAKE,
  CORE_HEADER_MAIN,
  CORE_HEADER_SIZE,
  CORE_HEADER_WAITERS,
  VISITS_CLOSED,
} from '#src/layout';
import { LoopRig } from './loop-rig.ts';
import type { Contestant } from './machine.ts';

export function waitSuite(contestant: Contestant): void {
  const make = () => new LoopRig(contestant);

  it('NT-2 a blocking poll raises notify_me by 2, and may sleep if nothing was notified', () => {
    const r = make();
    expect(r.engine.waitEnter(r.context)).toBe(1);
    expect(r.told).toEqual([0, 2]);
    expect(r.engine.notify(r.context)).toBe(1);
    r.engine.waitLeave(r.context);
    expect(r.told).toEqual([0, 0]);
    expect(r.word(CONTEXT_WAKE)).toBe(0);
  });

  it('NT-2 what was notified before keeps it awake, and leaving accepts that', () => {
    const r = make();
    r.engine.notify(r.context);
    expect(r.engine.waitEnter(r.context)).toBe(0);
    expect(r.told).toEqual([1, 2]);
    r.engine.waitLeave(r.context);
    expect(r.told).toEqual([0, 0]);
    expect(r.engine.waitEnter(r.context)).toBe(1);
  });

  it('NT-3 a blocking poll in a foreign loop: each has its own part of notify_me', () => {
    const r = make();
    r.engine.prepare(r.context);
    r.engine.waitEnter(r.context);
    expect(r.word(CONTEXT_NOTIFY_ME)).toBe(3);
    r.engine.check(r.context);
    expect(r.word(CONTEXT_NOTIFY_ME)).toBe(2);
    expect(r.engine.notify(r.context)).toBe(1);
    r.engine.prepare(r.context);
    r.engine.waitLeave(r.context);
    expect(r.told).toEqual([0, 1]);
    r.engine.check(r.context);
    expect(r.engine.notify(r.context)).toBe(0);
  });

  it('NT-5 a poll is for the home thread, and polls nest', () => {
    const r = make();
    r.set(CONTEXT_HOME, 7);
    expect(r.engine.pollBegin(r.context, 8)).toBe(0);
    expect(r.engine.pollBegin(r.context, 0)).toBe(0);
    expect(r.word(CONTEXT_DEPTH)).toBe(0);
    expect([1, 2].map(() => r.engine.pollBegin(r.context, 7))).toEqual([1, 1]);
    expect(r.engine.pollBegin(r.context, 6)).toBe(0);
    expect(r.word(CONTEXT_DEPTH)).toBe(2);
    expect([1, 2].map(() => r.engine.pollEnd(r.context))).toEqual([1, 0]);
    expect(r.word(CONTEXT_DEPTH)).toBe(0);
  });

  it('NT-12 with no home any thread polls', () => {
    const r = make();
    expect([1, 2, 99].map((thread) => r.engine.pollBegin(r.context, thread))).toEqual([1, 1, 1]);
    expect(r.word(CONTEXT_DEPTH)).toBe(3);
    expect(r.word(CONTEXT_HOME)).toBe(0);
  });

  it('FD-5 a context closes when nobody visits it, and then nobody comes in', () => {
    const r = make();
    expect([1, 2].map(() => r.engine.visitBegin(r.context))).toEqual([1, 1]);
    expect(r.engine.visitClose(r.context)).toBe(0);
    expect(r.word(CONTEXT_VISITS)).toBe(2);
    r.engine.visitEnd(r.context);
    expect(r.engine.visitClose(r.context)).toBe(0);
    expect(r.engine.visitBegin(r.context)).toBe(1);
    r.engine.visitEnd(r.context);
    r.engine.visitEnd(r.context);
    expect(r.engine.visitClose(r.context)).toBe(1);
    expect(r.engine.visitBegin(r.context)).toBe(0);
    expect(r.word(CONTEXT_VISITS)).toBe(VISITS_CLOSED);
    expect(r.engine.visitClose(r.context)).toBe(0);
  });

  describe('waiters', () => {
    function withMain() {
      const r = make();
      const header = r.machine.allocate(CORE_HEADER_SIZE);
      const main = r.machine.allocate(CONTEXT_SIZE);
      const set = (field: number, value: number) => r.machine.setWord(header + field, value);
      set(CORE_HEADER_MAIN, main);
      const notified = () => r.machine.word(main + CONTEXT_NOTIFIED);
      return { r, header, main, set, notified, kick: () => r.engine.waitKick(header) };
    }

    it('WT-1 a kick tells main if somebody waits, and names it if it sleeps', () => {
      const { r, main, set, notified, kick } = withMain();
      expect([kick(), notified()]).toEqual([0, 0]);
      set(CORE_HEADER_WAITERS, 1);
      expect([kick(), notified()]).toEqual([0, 1]);
      r.engine.accept(main);
      r.engine.waitEnter(main);
      expect([kick(), notified()]).toEqual([main, 1]);
      set(CORE_HEADER_WAITERS, 2);
      expect(kick()).toBe(main);
      set(CORE_HEADER_WAITERS, 0);
      expect(kick()).toBe(0);
    });

    it('WT-1 a core whose main has no context has nobody to kick', () => {
      const { r, set, kick } = withMain();
      set(CORE_HEADER_MAIN, 0);
      set(CORE_HEADER_WAITERS, 1);
      r.machine.setWord(CONTEXT_NOTIFY_ME, 2); // where a context at address 0 would have it
      expect(kick()).toBe(0);
      expect(r.machine.word(CONTEXT_NOTIFIED)).toBe(0);
      r.machine.setWord(CONTEXT_NOTIFY_ME, 0);
    });
  });

  describe('mail', () => {
    it('is counted when sent, and tells home', () => {
      const r = make();
      expect(r.engine.mailSent(r.context)).toBe(0);
      expect([r.word(CONTEXT_MAIL_SENT), r.word(CONTEXT_NOTIFIED)]).toEqual([1, 1]);
      r.engine.accept(r.context);
      r.engine.waitEnter(r.context);
      expect(r.engine.mailSent(r.context)).toBe(1);
      expect(r.word(CONTEXT_MAIL_SENT)).toBe(2);
    });

    it('says how many are still on their way', () => {
      const r = make();
      for (let i = 0; i < 3; i++) r.engine.mailSent(r.context);
      expect([1, 2, 3].map(() => r.engine.mailReceived(r.context))).toEqual([2, 1, 0]);
      expect(r.word(CONTEXT_MAIL_RECEIVED)).toBe(3);
    });

    it('may come before it is counted: then none are missing', () => {
      const r = make();
      expect(r.engine.mailReceived(r.context)).toBe(0);
      r.engine.mailSent(r.context);
      r.engine.mailSent(r.context);
      expect(r.engine.mailReceived(r.context)).toBe(0);
    });

    it('counts on past 2^32', () => {
      const r = make();
      r.set(CONTEXT_MAIL_SENT, 1);
      r.set(CONTEXT_MAIL_RECEIVED, 0xfffffffe);
      expect([1, 2, 3].map(() => r.engine.mailReceived(r.context))).toEqual([2, 1, 0]);
      expect(r.word(CONTEXT_MAIL_RECEIVED)).toBe(1);
    });
  });
}
