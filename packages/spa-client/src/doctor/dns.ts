import { isIP } from 'node:net';
import { destinationOf } from '../compose.ts';
import { resolveServers } from '../send.ts';
import { readSshSettings, SshError, type SshSettings } from '../ssh-settings.ts';
import { type Check, type Examination, makeCheck, type Outcome } from './check.ts';
import { complaint, formatDuration, ok, warn } from './finding.ts';
import { sshArguments } from './knock.ts';

/** Which addresses the bastion's name has: those that ssh would use. */
export const dnsCheck: Check = makeCheck({ name: 'dns', run: checkDns });

/** Longer than this and every connection is slow. */
const SLOW_MS = 1_000;

async function checkDns(examination: Examination): Promise<Outcome> {
  const { bastion, family } = examination;
  try {
    const ssh = await readSshSettings(examination.ssh, sshArguments(bastion));
    const startedAt = performance.now();
    const wanted = family ?? ssh.family ?? destinationOf(bastion.settings)?.family ?? null;
    const servers = await resolveServers(ssh.hostname, wanted);
    const ms = performance.now() - startedAt;
    const says = describe(bastion.host, ssh, servers.map(({ address }) => address).join(', '), ms);
    const finding =
      ms < SLOW_MS
        ? ok('dns', says)
        : warn('dns', says, 'every connection waits that long: look at the resolver (/etc/resolv.conf)');
    return { findings: [finding], facts: { ssh, servers } };
  } catch (error) {
    const finding = complaint('dns', error, todoFor(error, family));
    if (finding === null) throw error;
    return { findings: [finding] };
  }
}

function describe(host: string, { hostname }: SshSettings, addresses: string, ms: number): string {
  if (isIP(hostname) !== 0) return host === hostname ? `${host} is an address` : `${host} is ${addresses}`;
  const alias = host === hostname ? '' : ` (in ssh_config ${hostname})`;
  return `${host}${alias} is ${addresses} (${formatDuration(ms)})`;
}

function todoFor(error: unknown, family: 4 | 6 | null): string {
  if (error instanceof SshError) return "mend ssh's configuration, or install OpenSSH's client";
  if (family !== null) return `try without -${family}`;
  return 'check that this machine is online, and SPA_SERVER in the rc file';
}
