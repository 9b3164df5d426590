import { UsageError } from 'spa-host';
import { becomeProgram } from '../become.ts';
import { connects } from '../ssh-command.ts';
import { goSsh } from './go-ssh.ts';
import { print } from './program.ts';
import { parseAsSsh } from './sshbh-options.ts';

/** `sshbh ssh`: ssh's own command line, with a region for a host, for programs that run ssh. */
export async function sshVerb(argv: readonly string[]): Promise<number> {
  const command = parseAsSsh(argv);
  if (command.orders.help) return print(HELP);
  if (command.region === null && !connects(command.sshOptions)) return becomeProgram('ssh', argv);
  if (command.region === null)
    throw new UsageError('which region? sshbh ssh [ssh options] REGION [command...]');
  return goSsh(command, command.region);
}

const HELP = `sshbh ssh: in the place of ssh, for programs that run it

Usage: sshbh ssh [--rc-file FILE] [--wait SECONDS] [ssh options] [USER@]REGION [command...]

The command line is ssh's, the host is a region of ~/.fwknoprc. All options with one dash are ssh's.

  rsync -e 'sshbh ssh' -a src/ us-east-1:src/
  GIT_SSH_COMMAND='sshbh ssh' git clone us-east-1:repo.git

With sshbh config, programs that run plain ssh need none of this.
`;
