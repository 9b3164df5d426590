import { type ConfigSource, loadConfiguration, loadServerConfig } from '../config/load.ts';
import { protectedPorts } from '../config/server-config.ts';
import { firewallFromConfig } from '../firewall/from-config.ts';
import { createDoorkeeper, createOnlooker } from '../grants/from-folder.ts';
import type { Log } from '../system/log.ts';
import { answerControl, kernelCounters } from './answer.ts';
import type { ControlAnswer, ControlRequest } from './protocol.ts';
import { askDaemon, controlPath } from './socket.ts';

/** An answer, and who gave it. */
export interface Asked {
  readonly answer: ControlAnswer;
  /** True: the daemon. False: it does not listen, and the firewall was asked directly. */
  readonly byDaemon: boolean;
}

/**
 * Has the daemon do what is asked, or does it with the firewall and the record of grants if no daemon listens.
 * @throws ConfigError, UnavailableError, FirewallError
 */
export async function ask(source: ConfigSource, request: ControlRequest, log: Log): Promise<Asked> {
  const { runFolder } = loadServerConfig(source).value;
  const answer = await askDaemon(controlPath(runFolder), request);
  if (answer !== null) return { answer, byDaemon: true };
  return { answer: await answerDirectly(source, request, log), byDaemon: false };
}

async function answerDirectly(
  source: ConfigSource,
  request: ControlRequest,
  log: Log,
): Promise<ControlAnswer> {
  const config = loadServerConfig(source).value;
  const firewall = await firewallFromConfig(config.firewall);
  const create = request.do === 'revoke' ? createDoorkeeper : createOnlooker;
  const keeper = create(firewall, log, config.runFolder);
  try {
    await keeper.adopt();
    return await answerControl(request, {
      keeper,
      firewall,
      // The next daemon runs what is left.
      revoke: async (which, options) => ({ ...(await keeper.revoke(which, options)), byCommands: 0 }),
      counters: async () => kernelCounters(await firewall.counters()),
      roster: () => null,
      protectedPorts: async () => {
        const { stanzas } = await loadConfiguration(source);
        return protectedPorts(config, stanzas);
      },
    });
  } finally {
    keeper.close();
    await firewall.close({ flush: false });
  }
}
