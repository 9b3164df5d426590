import { chmodSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import type { Scratch } from 'spa-lab';

/**
 * What goes wrong with a command to the firewall.
 * - `kill-daemon-before`, `kill-daemon-after`: the daemon gets SIGKILL before the kernel hears of the command, or when it has
 *   done it and the daemon does not know.
 * - `die-before`, `die-after`: so does the program.
 * - `hang-before`, `hang-after`: the program says nothing any more.
 * - `refuse`: it says that it is an error, and does nothing.
 * - `garble-before`, `garble-after`: it says what nobody understands, and does nothing, or has done it.
 */
export type FirewallFault = `${'kill-daemon' | 'die' | 'hang' | 'garble'}-${'before' | 'after'}` | 'refuse';

/** Programs that do what the real ones do, until they are told to fail. */
export interface FaultyFirewall {
  /** The folder that they are in: it has to be the first in the daemon's PATH. */
  readonly folder: string;
  /** From now on commands that match go wrong: the next of them, or all until {@link FaultyFirewall.mend}. */
  fail(fault: FirewallFault, options: { readonly at: RegExp; readonly times: 'once' | 'always' }): void;
  /** Nothing goes wrong any more. */
  mend(): void;
  /** There is no program any more. Those that run go on. */
  remove(): void;
  /** There is one again. */
  restore(): void;
}

/** Makes them in a folder of their own. They need perl. */
export function createFaultyFirewall(
  scratch: Pick<Scratch, 'path'>,
  kind: 'nftables' | 'iptables',
): FaultyFirewall {
  const folder = scratch.path('faulty');
  mkdirSync(folder);
  const restore = (): void => {
    writeFileSync(`${folder}/program`, PROXY);
    chmodSync(`${folder}/program`, 0o700);
  };
  restore();
  for (const name of PROGRAMS[kind]) symlinkSync('program', `${folder}/${name}`);
  return {
    folder,
    fail: (fault, { at, times }) => writeFileSync(`${folder}/fault`, `${fault}\n${times}\n${at.source}\n`),
    mend: () => rmSync(`${folder}/fault`, { force: true }),
    remove: () => rmSync(`${folder}/program`),
    restore,
  };
}

const PROGRAMS = {
  nftables: ['nft'],
  iptables: [
    'iptables',
    'iptables-save',
    'iptables-restore',
    'ip6tables',
    'ip6tables-save',
    'ip6tables-restore',
    'ipset',
  ],
} as const;

/**
 * It runs the real program. What is asked with arguments and input is one command; of an interactive nft each line is one,
 * and a word that ends its answer comes in the next line.
 */
const PROXY = `#!/usr/bin/perl
use strict;
use warnings;
my ($folder, $name) = $0 =~ m{^(.*)/([^/]+)$};
my @folders = grep { $_ ne $folder } split(/:/, $ENV{PATH}), qw(/usr/sbin /sbin /usr/bin);
my ($real) = grep { -x } map { "$_/$name" } @folders;
my $daemon = getppid();
my $isSession = grep { $_ eq '-i' } @ARGV;
$isSession ? session() : command();

sub faultOf {
  my ($text) = @_;
  open(my $file, '<', "$folder/fault") or return '';
  chomp(my ($fault, $times, $pattern) = <$file>);
  return '' unless $text =~ /$pattern/;
  return '' if $times eq 'once' && !unlink("$folder/fault");
  return $fault;
}

sub fail {
  my ($fault, $when, $child) = @_;
  if ($fault eq "kill-daemon-$when") { kill 'KILL', $daemon; kill 'KILL', $child if $child; exit 1; }
  if ($fault eq "die-$when") { kill 'KILL', $child if $child; kill 'KILL', $$; }
  if ($fault eq "hang-$when") { sleep 1000; }
}

sub command {
  my $input = do { local $/; <STDIN> } // '';
  my $fault = faultOf("$name @ARGV\\n$input");
  fail($fault, 'before', 0);
  if ($fault eq 'refuse') { print STDERR "Error: this was asked for\\n"; exit 1; }
  if ($fault eq 'garble-before') { print STDERR "\\x00\\xff{]\\n-A *nonsense"; exit 3; }
  local $SIG{PIPE} = 'IGNORE';
  open(my $child, '|-', $real, @ARGV) or exit 127;
  print $child $input;
  close $child;
  my $status = $? >> 8;
  fail($fault, 'after', 0);
  if ($fault eq 'garble-after') { print STDERR "\\x00\\xff{]\\n-A *nonsense"; exit 3; }
  exit $status;
}

sub session {
  $SIG{PIPE} = 'IGNORE';
  pipe(my $itsInput, my $toIt) or die;
  pipe(my $fromIt, my $itsErrors) or die;
  my $child = fork() // die;
  if ($child == 0) {
    open(STDIN, '<&', $itsInput) or die;
    open(STDERR, '>&', $itsErrors) or die;
    exec $real, @ARGV;
  }
  close $itsInput;
  close $itsErrors;
  my ($lines, $fault, $said) = ('', '', '');
  while (1) {
    my $ready = '';
    vec($ready, fileno($_), 1) = 1 for (*STDIN, $fromIt);
    select($ready, undef, undef, undef);
    if (vec($ready, fileno($fromIt), 1)) {
      last unless sysread($fromIt, my $some, 65536);
      $said .= $some;
      if ($fault =~ /-after$/) {
        next unless $said =~ /spa_done/;
        fail($fault, 'after', $child);
        $said = "\\x00\\xff{]\\n-A *nonsense\\n$said";
        $fault = '';
      }
      syswrite(STDERR, $said);
      $said = '';
    }
    next unless vec($ready, fileno(*STDIN), 1);
    last unless sysread(STDIN, $lines, 65536, length $lines);
    while ($lines =~ s/^(.*\\n)//) {
      my $line = $1;
      my $now = faultOf($line);
      fail($now, 'before', $child);
      $fault = $now if $now =~ /-after$/;
      if ($now eq 'refuse') { syswrite(STDERR, "Error: this was asked for\\nx\\n^\\n"); next; }
      if ($now eq 'garble-before') { syswrite(STDERR, "\\x00\\xff{]\\n-A *nonsense\\n"); next; }
      syswrite($toIt, $line);
    }
  }
  close $toIt;
  waitpid($child, 0);
  exit($? >> 8);
}
`;
