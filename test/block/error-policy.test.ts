/** The error policy by itself: policies times errors (BB-19). */
import { describe, expect, it } from 'vitest';
import { errorAction } from '#src/block/error-policy';
import { POLICY_ENOSPC, POLICY_IGNORE, POLICY_REPORT, POLICY_STOP } from '#src/layout';
import { EIO, ENOSPC } from '#src/spec';

const rows = [
  ['report', POLICY_REPORT, 'report', 'report'],
  ['ignore', POLICY_IGNORE, 'ignore', 'ignore'],
  ['stop', POLICY_STOP, 'stop', 'stop'],
  ['enospc', POLICY_ENOSPC, 'report', 'stop'],
] as const;

describe('error policies', () => {
  it.each(rows)('BB-19 %s: what EIO and ENOSPC come to', (_name, policy, io, space) => {
    expect([errorAction(policy, EIO), errorAction(policy, ENOSPC)]).toEqual([io, space]);
  });
});
