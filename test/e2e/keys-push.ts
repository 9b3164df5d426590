import { readlinkSync, renameSync } from 'node:fs';
import { lacking, until } from 'spa-lab';
import t from 'tap';
import { ACCESS, handOut, setUp, startDaemons } from './keys-fleet.ts';

/** From the first push to a bastion of each kind, with stock fwknopd and spa-server, to one operator less. */
export function pushReachesBastions(topology: 'mutual' | 'authority'): void {
  t.setTimeout(300_000);
  t.test(
    `${topology}: a bastion of each kind gets its bundle, and its operators get in`,
    { skip },
    async (t) => {
      const { fleet, lab, alice, bob, stock, ours, keys, program } = await setUp(t, topology);
      const everywhere = ['--program', program];

      await t.test('the first time, by plain ssh, with the secret keys because asked', async (t) => {
        const dry = await keys('push', '--ssh', 'ssh', '--dry-run', 'stock');
        t.match(
          dry,
          {
            status: 0,
            stderr: /stock: nothing would become 1-[0-9a-f]{12}\n {2}\+ alice [0-9A-F]{40}: tcp\/22, 30 s\n/,
          },
          dry.stderr,
        );
        const first = ['push', '--ssh', 'ssh', '--first', '--with-secret-keys'];
        const one = await keys(...first, 'stock');
        t.match(
          one,
          {
            status: 0,
            stderr:
              /^stock: 1-[0-9a-f]{12} is in force\n {2}fwknopd does not run; it reads this when it starts\n/,
          },
          one.stderr,
        );
        const two = await keys(...first, ...everywhere, 'ours');
        t.match(two, { status: 0, stderr: /^ours: 1-[0-9a-f]{12} is in force/ }, two.stderr);
      });

      await startDaemons(fleet, stock, ours, program);

      await t.test('everybody gets in by real ssh through his own stanza', async (t) => {
        await handOut(keys, lab, fleet);
        for (const person of [alice, bob]) {
          for (const region of ['stock', 'ours', 'north', 'south']) {
            const { status, stdout, stderr } = await person.host.run(['sshbh', region, '--', 'echo', 'in']);
            t.match(
              { status, stdout },
              { status: 0, stdout: 'in\n' },
              `${person.name} at ${region}: ${stderr}`,
            );
          }
        }
      });

      await t.test('pushed again, nothing changes', async (t) => {
        const result = await keys('push', 'stock');
        t.match(result, { status: 0, stderr: /^stock: has it already \(1-[0-9a-f]{12}\)\n$/ }, result.stderr);
      });

      await t.test('a dry run says who would be out, and changes nothing', async (t) => {
        await lab.write({ version: 2, without: ['bob'], access: ACCESS });
        const before = readlinkSync(stock.configuration.path('spa-keys', 'current'));
        const result = await keys('push', '--dry-run', ...everywhere, 'ours');
        t.match(
          result,
          {
            status: 0,
            stderr: /^ours: 1-[0-9a-f]{12} would become 2-[0-9a-f]{12}\n {2}- bob [0-9A-F]{40}: /,
          },
          result.stderr,
        );
        t.match(await keys('push', '--dry-run', 'stock'), { status: 0, stderr: / {2}- bob / });
        t.equal(readlinkSync(stock.configuration.path('spa-keys', 'current')), before);
      });

      await t.test('the next roster, through sshbh itself: who is gone is out', async (t) => {
        t.match(await keys('push', 'stock'), { status: 0, stderr: /^stock: 2-[0-9a-f]{12} is in force\n$/ });
        t.match(await keys('push', ...everywhere, 'ours'), {
          status: 0,
          stderr: /^ours: 2-[0-9a-f]{12} is in force\n$/,
        });
        for (const region of ['stock', 'ours']) {
          const out = await bob.host.run(['sshbh', '--wait', '2', region, '--', 'true']);
          t.not(out.status, 0, `bob is out at ${region}`);
          const { status, stderr } = await alice.host.run(['sshbh', region, '--', 'true']);
          t.equal(status, 0, `alice is in at ${region}: ${stderr}`);
        }
      });

      await t.test('an older roster is refused', async (t) => {
        await lab.write({ version: 1, access: ACCESS });
        const result = await keys('push', 'stock');
        t.match(
          result,
          {
            status: 1,
            stderr: /^stock: failed: version 1 of the roster is older than 2, which is in force here\n$/,
          },
          result.stderr,
        );
      });

      await t.test('a rollback brings back what was before', async (t) => {
        for (const [name, more] of [
          ['stock', []],
          ['ours', everywhere],
        ] as const) {
          const result = await keys('push', '--rollback', ...more, name);
          t.match(
            result,
            { status: 0, stderr: new RegExp(`^${name}: 1-[0-9a-f]{12} is in force\\n$`) },
            result.stderr,
          );
          const { status, stderr } = await bob.host.run(['sshbh', name, '--', 'true']);
          t.equal(status, 0, `bob is in at ${name}: ${stderr}`);
        }
      });
    },
  );
}

/** From a fleet at work to one operator less. */
export function revokingShutsOut(topology: 'mutual' | 'authority'): void {
  t.setTimeout(300_000);
  t.test(
    `${topology}: who is revoked is out, and what is wrong never comes into force`,
    { skip },
    async (t) => {
      const { fleet, lab, alice, bob, stock, ours, keys, program } = await setUp(t, topology);
      const everywhere = ['--program', program];
      const first = await keys('push', '--ssh', 'ssh', '--first', '--with-secret-keys', ...everywhere);
      t.equal(first.status, 0, first.stderr);
      await startDaemons(fleet, stock, ours, program);
      await handOut(keys, lab, fleet);

      await t.test(
        'who is revoked is out everywhere, his doors are closed and his connections end',
        async (t) => {
          await lab.write({ version: 4, access: ACCESS.replace('timeout: 30', 'timeout: 200') });
          t.match(await keys('push', 'stock'), { status: 0 });
          t.match(await keys('push', ...everywhere, 'ours'), { status: 0 });
          const session = bob.host.spawn(['sshbh', 'ours', '--', 'sleep', '600'], { stdio: 'ignore' });
          await until('bob has a connection', async () => {
            const listed = await ours.host.must(['ss', '-Htn', 'state', 'established', 'sport', '=', '22']);
            return listed.includes(bob.address);
          });
          t.equal((await bob.host.run(['sshbh', 'open', 'stock'])).status, 0);
          const homes = [...lab.homes.values()].flatMap(({ path }) => ['--gnupg-home', path]);
          const result = await keys('revoke', 'bob', '--reason', 'left', ...homes, ...everywhere);
          t.match(
            result.stderr,
            /^stock: all doors are closed; connections that were made stay \(fwknopd\)$/m,
            result.stderr,
          );
          t.match(result.stderr, /^ours: Revoked \d+ grants? of operator=.*Ended [1-9]\d* connections?\.$/m);
          t.equal(result.status, 0);
          await until('his connection ends', () => session.exitCode !== null);
          t.notMatch(await stock.host.must(['nft', 'list', 'ruleset']), new RegExp(`saddr ${bob.address} `));
          for (const region of ['stock', 'ours']) {
            t.not((await bob.host.run(['sshbh', '--wait', '2', region, '--', 'true'])).status, 0, region);
            const { status, stderr } = await alice.host.run(['sshbh', region, '--', 'true']);
            t.equal(status, 0, `alice is in at ${region}: ${stderr}`);
          }
        },
      );

      await t.test('what gpg or the daemon refuses never comes into force', async (t) => {
        const before = readlinkSync(stock.configuration.path('spa-keys', 'current'));
        const result = await keys('push', '--ssh', 'false', 'stock');
        t.match(result, { status: 69, stderr: /^stock: cannot be reached: / });
        await lab.write({ version: 9, without: ['bob'], access: ACCESS });
        const secret = stock.configuration.path('spa-keys', 'secret', 'private-keys-v1.d');
        renameSync(secret, `${secret}.gone`);
        await stock.host.must(['iptables', '-I', 'INPUT', '-p', 'tcp', '--dport', '22', '-j', 'ACCEPT']);
        t.match(await keys('push', '--ssh', 'ssh', 'stock'), {
          status: 1,
          stderr: /^stock: failed: the secret key of this bastion is not in \/etc\/fwknop\/spa-keys\/secret/,
        });
        renameSync(`${secret}.gone`, secret);
        t.equal(readlinkSync(stock.configuration.path('spa-keys', 'current')), before);
      });
    },
  );
}

const skip =
  process.getuid?.() === 0
    ? lacking('fwknopd', 'iptables', 'nft', 'gpg', 'sshd', 'ssh', 'flock')
    : 'root only: a bastion has its own /etc/fwknop';
