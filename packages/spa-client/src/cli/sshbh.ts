import { UsageError } from 'spa-host';
import { CONNECTION_FAILED } from './enter.ts';
import { goSsh } from './go-ssh.ts';
import { packageVersion, print, runProgram } from './program.ts';
import { parseSshbhCommand, type SshbhOrders } from './sshbh-options.ts';
import { VERBS } from './verbs.ts';

/** sshbh: knock at a region's bastion, then be ssh. */
export function runSshbh(): Promise<void> {
  return runProgram('sshbh', main, { connection: CONNECTION_FAILED });
}

async function main(argv: readonly string[]): Promise<number> {
  const [first, ...rest] = argv;
  const verb = VERBS.find((candidate) => candidate.name === first);
  if (verb !== undefined) return verb.run(rest);
  const command = parseSshbhCommand(argv);
  const { orders, region } = command;
  if (orders.help) return print((await import('./sshbh-help.ts')).sshbhHelp());
  if (orders.version) return print(`sshbh ${packageVersion()}\n`);
  if (orders.list) return (await import('./list.ts')).listVerb(listOptions(orders));
  if (region === null)
    throw new UsageError('which region? sshbh REGION; --list shows them, --help says more');
  return goSsh(command, region);
}

function listOptions(orders: SshbhOrders): readonly string[] {
  const rcFile = orders['rc-file'] === undefined ? [] : ['--rc-file', orders['rc-file']];
  return orders.json ? [...rcFile, '--json'] : rcFile;
}
