import { expect, it } from 'vitest';
import { formatTable } from '#src/cli/table';

it('a table has its first column left-aligned, the others right-aligned, each as wide as it must', () => {
  const rows = [
    ['drive', 'IOPS', ''],
    ['memory', '1,000,000', '1.5'],
    ['x', '7'],
  ];
  expect(formatTable(rows)).toBe(
    [
      'drive        IOPS',
      '------  ---------  ---',
      'memory  1,000,000  1.5',
      'x               7',
    ].join('\n'),
  );
});
