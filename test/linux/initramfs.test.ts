import { describe, expect, it } from 'vitest';
import { packCpio } from '#src/cli/linux/cpio';
import { buildInitramfs, withoutSignature } from '#src/cli/linux/initramfs';

interface Member {
  readonly mode: string;
  readonly rdev: [number, number];
  readonly data: string;
}

/** Reads a newc archive, independently of the packer. */
function unpackCpio(archive: Uint8Array): Map<string, Member> {
  const text = Buffer.from(archive).toString('latin1');
  const members = new Map<string, Member>();
  for (let at = 0; ; ) {
    expect(text.slice(at, at + 6)).toBe('070701');
    const field = (n: number) => Number.parseInt(text.slice(at + 6 + 8 * n, at + 14 + 8 * n), 16);
    const name = text.slice(at + 110, at + 110 + field(11) - 1);
    const dataAt = (at + 110 + field(11) + 3) & ~3;
    if (name === 'TRAILER!!!') return members;
    members.set(name, {
      mode: field(1).toString(8),
      rdev: [field(9), field(10)],
      data: text.slice(dataAt, dataAt + field(6)),
    });
    at = (dataAt + field(6) + 3) & ~3;
  }
}

describe('cpio', () => {
  it('packs files of any length, directories and devices', () => {
    const sizes = [0, 1, 2, 3, 4, 5];
    const archive = packCpio([
      { path: 'd', kind: 'directory' },
      { path: 'd/tty', kind: 'character-device', major: 5, minor: 1 },
      { path: 'run', kind: 'file', data: Buffer.from('#!'), executable: true },
      ...sizes.map((n) => ({
        path: 'f'.repeat(n + 1),
        kind: 'file' as const,
        data: Buffer.alloc(n, n),
      })),
    ]);
    const members = unpackCpio(archive);
    expect(members.get('d')?.mode).toBe('40755');
    expect(members.get('d/tty')).toMatchObject({ mode: '20600', rdev: [5, 1] });
    expect(members.get('run')).toMatchObject({ mode: '100755', data: '#!' });
    for (const n of sizes) {
      expect(members.get('f'.repeat(n + 1))?.data).toBe(String.fromCharCode(n).repeat(n));
    }
    expect(members.size).toBe(3 + sizes.length);
  });
});

describe('initramfs', () => {
  const signed = (payload: string, signatureBytes: number) =>
    Buffer.concat([
      Buffer.from(payload),
      Buffer.alloc(signatureBytes, 0xee),
      Buffer.from([0, 0, 2, 0, 0, 0, 0, 0, 0, 0, signatureBytes >> 8, signatureBytes & 255]),
      Buffer.from('~Module signature appended~\n'),
    ]);

  it('takes the signature off a module, and only that', () => {
    expect(Buffer.from(withoutSignature(signed('module', 300))).toString()).toBe('module');
    expect(Buffer.from(withoutSignature(signed('', 1))).toString()).toBe('');
    const plain = Buffer.from('no signature here, but long enough for one');
    expect(withoutSignature(plain)).toBe(plain);
    const truncated = signed('module', 300).subarray(7);
    expect(() => withoutSignature(truncated)).toThrow('longer than the module');
  });

  it('numbers the modules in load order, group by group', () => {
    const groups = { 'zlib.ko': 'virtio', 'alpha.ko': 'virtio', 'beta.ko': 'ext4' } as const;
    const modules = Object.entries(groups).map(([name, group]) => {
      return { name, group, data: Buffer.from(name) };
    });
    const members = unpackCpio(buildInitramfs({ busybox: Buffer.from('box'), modules }));
    const names = [...members.keys()].filter((name) => name.startsWith('lib/modules/')).sort();
    expect(names).toEqual([
      'lib/modules/ext4',
      'lib/modules/ext4/02-beta.ko',
      'lib/modules/virtio',
      'lib/modules/virtio/00-zlib.ko',
      'lib/modules/virtio/01-alpha.ko',
    ]);
    expect(members.get('lib/modules/ext4')?.mode).toBe('40755');
    expect(members.get('bin/busybox')).toMatchObject({ mode: '100755', data: 'box' });
    for (const script of ['init', 'bin/load']) {
      const member = members.get(script);
      expect(member).toMatchObject({ mode: '100755' });
      expect(member?.data).toMatch(/^#!\/bin\/busybox sh\n/);
    }
  });
});
