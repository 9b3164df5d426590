/**
 * Makes this checkout ready to build: `node_modules` as package-lock.json says. It runs before there is any package,
 * so it needs none, and it does nothing if there is nothing to do.
 *
 *     node scripts/install.mjs             npm packages
 *     node scripts/install.mjs --system    and the Debian packages of the demo
 *     node scripts/install.mjs --all       and those of all tests, and of the bench
 *
 * With --no-npm it leaves node_modules alone, for root in somebody else's checkout.
 *
 * Exit status: 0 all is there, 1 an installer failed (it said why), 64 wrong option, 69 something is missing that
 * only root, or you, can install.
 */
import { spawn, spawnSync } from 'node:child_process';
import { accessSync, constants, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const OPTIONS = ['--system', '--all', '--no-npm'];
const OLDEST_NODE = [20, 19];
const EXIT = { failure: 1, usage: 64, unavailable: 69 };

/**
 * What each Debian package is needed for: programs, and modules of Perl's. Programs of sbin are found although a user's PATH
 * does not have it.
 */
const DEMO_PROGRAMS = {
  nftables: ['nft'],
  iproute2: ['ip'],
  'openssh-server': ['sshd'],
  'openssh-client': ['ssh', 'ssh-keygen'],
  gnupg: ['gpg', 'gpgconf', 'gpg-agent'],
  procps: ['sysctl'],
  'util-linux': ['unshare', 'nsenter', 'setpriv'],
};
const TEST_PROGRAMS = {
  'fwknop-client': ['fwknop'],
  'fwknop-server': ['fwknopd'],
  iptables: ['iptables', 'ip6tables'],
  ipset: ['ipset'],
  conntrack: ['conntrack'],
  tcpdump: ['tcpdump'],
  // A clock of the daemon's own.
  faketime: ['faketime'],
  // What daily work is done with.
  rsync: ['rsync'],
  git: ['git'],
  'ansible-core': ['ansible'],
  // What people look at pages with.
  chromium: ['chromium'],
  // Completion, prompts, and the manual.
  tmux: ['tmux'],
  bash: ['bash'],
  zsh: ['zsh'],
  fish: ['fish'],
  'man-db': ['man'],
  'groff-base': ['groff'],
  mandoc: ['mandoc'],
  // An HTTPS server of the test's own, and the lab's long cable.
  openssl: ['openssl'],
  'perl-base': ['perl'],
  // fwknop's own library, which reads and writes what ours does.
  'libfko-perl': ['FKO.pm'],
  // The bench's flood.
  tcpreplay: ['tcpreplay'],
};

/** What Debian would start at the next boot once these packages are there; nobody asked for that. */
const SERVICES = {
  'openssh-server': ['ssh.service', 'ssh.socket'],
  'fwknop-server': ['fwknop-server.service'],
};

/** A failure that is told in one line. */
class Failure extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

try {
  const options = readOptions(process.argv.slice(2));
  checkNode();
  await installSystemPackages(wantedPrograms(options));
  if (!options.includes('--no-npm')) await installNpmPackages();
} catch (error) {
  if (!(error instanceof Failure)) throw error;
  console.error(error.message);
  process.exitCode = error.status;
}

function readOptions(options) {
  const unknown = options.find((option) => !OPTIONS.includes(option));
  if (unknown === undefined) return options;
  throw new Failure(EXIT.usage, `install: "${unknown}" is no option; there are ${OPTIONS.join(', ')}`);
}

function wantedPrograms(options) {
  if (options.includes('--all')) return { ...DEMO_PROGRAMS, ...TEST_PROGRAMS };
  return options.includes('--system') ? DEMO_PROGRAMS : {};
}

function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  const [oldestMajor, oldestMinor] = OLDEST_NODE;
  if (major > oldestMajor || (major === oldestMajor && minor >= oldestMinor)) return;
  throw new Failure(
    EXIT.unavailable,
    `install: Node ${OLDEST_NODE.join('.')} or newer is needed, and this is ${process.versions.node}; see https://nodejs.org/en/download`,
  );
}

async function installSystemPackages(programs) {
  const missing = Object.keys(programs).filter((name) => !programs[name].every(isInstalled));
  if (missing.length === 0) return;
  const list = missing.join(' ');
  if (!isInstalled('apt-get')) {
    const names = missing.flatMap((name) => programs[name]).filter((name) => !isInstalled(name));
    throw new Failure(EXIT.unavailable, `install: please install these programs first: ${names.join(', ')}`);
  }
  if (process.getuid() !== 0) {
    throw new Failure(
      EXIT.unavailable,
      `install: Debian packages are missing; please type: ${commandForRoot(missing)}`,
    );
  }
  await withoutStartingServices(missing, async () => {
    await run('apt-get update', ['apt-get', 'update', '-qq']);
    const install = ['apt-get', 'install', '-y', '-qq', '--no-install-recommends', ...missing];
    await run(`apt-get install ${list}`, install, { DEBIAN_FRONTEND: 'noninteractive' });
  });
}

/** apt-get on its own would also start the services. */
function commandForRoot(missing) {
  const apt = `sudo apt-get install --no-install-recommends ${missing.join(' ')}`;
  if (!missing.some((name) => SERVICES[name] !== undefined)) return apt;
  const options = process.argv.slice(2).filter((option) => option !== '--no-npm');
  const ours = [process.execPath, process.argv[1], ...options, '--no-npm'].join(' ');
  return `sudo ${ours} (or, which also starts their services: ${apt})`;
}

/** Programs are wanted, not daemons: what the packages bring is neither started now nor at the next boot. */
async function withoutStartingServices(packages, install) {
  const policy = '/usr/sbin/policy-rc.d';
  const isOurs = writeNew(
    policy,
    '#!/bin/sh\n# Written by scripts/install.mjs for the time of one installation.\nexit 101\n',
  );
  if (isOurs) {
    process.once('exit', () => rmSync(policy, { force: true }));
    // Ctrl-C ends the installer, and its failure ends us: in good order, so that the file goes.
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => {});
  }
  await install();
  const units = packages.flatMap((name) => SERVICES[name] ?? []);
  if (units.length === 0) return;
  // Sockets of systemd and scripts of sysvinit have a tool each; that one of them is not there is no failure.
  await run('disabling services', ['deb-systemd-helper', 'disable', ...units]).catch(() => {});
  for (const unit of units.filter((name) => name.endsWith('.service'))) {
    const name = unit.replace('.service', '');
    await run(`disabling ${name}`, ['update-rc.d', name, 'disable']).catch(() => {});
  }
  console.log(`install: ${units.join(', ')} came with these packages; not started, and disabled`);
}

/** False if the file is there already: then it is somebody else's. */
function writeNew(file, content) {
  try {
    writeFileSync(file, content, { flag: 'wx', mode: 0o755 });
    return true;
  } catch (error) {
    if (error.code === 'EEXIST') return false;
    throw error;
  }
}

async function installNpmPackages() {
  if (isInstalledAsLocked()) return;
  // The program that runs us, if that is npm; its settings must not leave out the compiler.
  const { npm_execpath: script = '' } = process.env;
  const npm = basename(script) === 'npm-cli.js' ? [process.execPath, script] : ['npm'];
  await run('npm ci', [...npm, 'ci', '--include=dev', '--no-progress', '--loglevel=error']);
}

/** npm's own note of what it has put into node_modules, compared with what package-lock.json wants there. */
function isInstalledAsLocked() {
  const wanted = readPackages('package-lock.json');
  const present = readPackages('node_modules/.package-lock.json');
  if (present === null) return false;
  const isSame = (one, other) =>
    one.version === other.version && one.integrity === other.integrity && one.link === other.link;
  // Packages for other platforms are in the first and not in the second.
  const isThere = ([path, entry]) =>
    path === '' || (present[path] === undefined ? entry.optional === true : isSame(entry, present[path]));
  return Object.entries(wanted).every(isThere) && Object.keys(present).every((path) => wanted[path]);
}

function readPackages(file) {
  try {
    return JSON.parse(readFileSync(join(ROOT, file), 'utf8')).packages;
  } catch (error) {
    if (error.code === 'ENOENT') return null;
    throw error;
  }
}

function isInstalled(program) {
  if (program.endsWith('.pm')) return spawnSync('perl', ['-e', 'require $ARGV[0]', program]).status === 0;
  return searchPath().some((directory) => isExecutable(join(directory, program)));
}

function searchPath() {
  const path = (process.env.PATH ?? '').split(delimiter).filter((directory) => directory !== '');
  return [...path, '/usr/local/sbin', '/usr/sbin', '/sbin', '/usr/bin', '/bin'];
}

function isExecutable(file) {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Runs an installer. What takes longer than a second is announced; its output is shown only if it fails. */
function run(title, [program, ...args], environment = {}) {
  const started = Date.now();
  const seconds = () => `${((Date.now() - started) / 1000).toFixed(1)} s`;
  let isAnnounced = false;
  const announcement = setTimeout(() => {
    isAnnounced = true;
    console.log(`install: ${title} ...`);
  }, 1000);
  const child = spawn(program, args, {
    cwd: ROOT,
    env: { ...process.env, PATH: searchPath().join(delimiter), ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk) => {
      output += chunk;
    });
  }
  return new Promise((resolve, reject) => {
    child.once('error', (error) => {
      clearTimeout(announcement);
      reject(new Failure(EXIT.failure, `install: ${program} cannot be run: ${error.code}`));
    });
    child.once('close', (status) => {
      clearTimeout(announcement);
      if (status !== 0) {
        return reject(
          new Failure(EXIT.failure, `${output.trimEnd()}\ninstall: ${title} failed after ${seconds()}`),
        );
      }
      if (isAnnounced) console.log(`install: ${title} done in ${seconds()}`);
      resolve();
    });
  });
}
