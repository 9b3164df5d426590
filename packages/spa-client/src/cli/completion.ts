import { UsageError } from 'spa-host';
import { bashCompletion } from './completion/bash.ts';
import { fishCompletion } from './completion/fish.ts';
import { describeGrammar, type Grammar } from './completion/grammar.ts';
import { zshCompletion } from './completion/zsh.ts';
import { print } from './program.ts';

/**
 * `sshbh completion SHELL`: prints the script that teaches a shell to complete sshbh. Regions are not in it: it asks
 * `sshbh list --names` at every TAB.
 * @throws UsageError
 */
export async function completionVerb(argv: readonly string[]): Promise<number> {
  const [name, ...others] = argv;
  if (name === '--help' || name === '-h') return print(help());
  const shell = SHELLS.find((row) => row.name === name);
  if (shell === undefined || others.length > 0) {
    throw new UsageError(
      'which shell? sshbh completion bash, zsh or fish; --help says where the script goes',
    );
  }
  return print(shell.script(describeGrammar()));
}

interface Shell {
  readonly name: string;
  readonly script: (grammar: Grammar) => string;
}

const SHELLS: readonly Shell[] = [
  { name: 'bash', script: bashCompletion },
  { name: 'zsh', script: zshCompletion },
  { name: 'fish', script: fishCompletion },
];

function help(): string {
  return `sshbh completion: teach a shell to complete regions, commands and options of sshbh

Usage: sshbh completion bash|zsh|fish

bash, in ~/.bashrc:
  eval "$(sshbh completion bash)"
zsh, in ~/.zshrc, after compinit:
  eval "$(sshbh completion zsh)"
fish, once:
  sshbh completion fish > ~/.config/fish/completions/sshbh.fish

Options:
  -h, --help  print this and exit
`;
}
