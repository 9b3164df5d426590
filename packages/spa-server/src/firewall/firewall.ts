import type { Beginning, IpAddress, ProtoPort } from 'spa-core';
import type { Forward } from './forward.ts';

/** What policy gives to one message: these doors, for this one address, for this long. */
export interface Grant {
  /** Hex of the message's identity, at most 64 characters: it goes into the rule's comment. */
  readonly id: string;
  readonly address: IpAddress;
  readonly ports: readonly ProtoPort[];
  /** Whole seconds, at least 1. */
  readonly timeoutSeconds: number;
  /** Where the doors lead; left out: to this host's own ports. */
  readonly forward?: Forward;
}

/** Which door. A forward is a door of its own; where it leads may change. */
export interface DoorName {
  readonly address: IpAddress;
  readonly port: ProtoPort;
  /** Where it leads; left out: to that port of this host. */
  readonly forward?: Forward;
}

/** One door that is open now. */
export interface Door extends DoorName {
  /** Whole seconds until the kernel closes it. */
  readonly remainingSeconds: number;
  /** The grant that opened it, if its rule says so. */
  readonly grantId: string | null;
}

/** What shall become of one door, whatever it was. */
export interface DoorChange extends DoorName {
  /** Seconds from now, at least 0.001 (iptables without ipset: rounded down to the clock's second); null: shut at once. */
  readonly timeoutSeconds: number | null;
  /** The grant that the door's rule names, as in {@link Grant}; null if none is known. */
  readonly grantId: string | null;
}

/** How {@link Firewall.install} treats doors. */
export interface InstallOptions {
  /** True: no door stays but `doors`. False: those that are open stay open. */
  readonly flush: boolean;
  /** These are open in the very same change, each for at least its time: what a ledger says is granted still. */
  readonly doors: readonly DoorChange[];
  /** For the first install: what is known of open doors, so that the kernel need not be asked. Used if it still holds. */
  readonly takeover?: Takeover;
}

/** The open doors of the daemon before this one. */
export interface Takeover {
  /** What {@link Firewall.mark} was then. */
  readonly mark: string;
  readonly doors: readonly DoorChange[];
}

/** What the kernel throws away before it comes to the daemon. */
export interface PreFilter {
  /** Octets of a UDP payload; what is shorter or longer is dropped. */
  readonly minBytes: number;
  readonly maxBytes: number;
  /** What a payload has to begin with, one of these ways; null: it may begin with anything. Only nftables looks at it. */
  readonly beginnings: readonly Beginning[] | null;
  /** Packets a second that one source may send (IPv4: an address, IPv6: a network of 64 bits); null: as many as it likes. */
  readonly ratePerSource: number | null;
}

/** Packets that the kernel's pre-filter has dropped, for one reason. */
export interface FirewallCounter {
  /** `length`: no packet of ours has this length; `beginning`: none begins like that; `rate`: more than one source may send. */
  readonly reason: 'length' | 'beginning' | 'rate';
  /** Since the rules were first put in place, or somebody else's flush. */
  readonly packets: number;
}

/** What the daemon's own rules let through and hold shut besides the doors. */
export interface GatePolicy {
  /** Where packets arrive, at most one port of each protocol: always let through. None: they are captured. */
  readonly spaPorts: readonly ProtoPort[];
  /** Ports that nobody reaches without a door. Only rules that drop by themselves (nftables, mode own) use it. */
  readonly protectedPorts: readonly ProtoPort[];
  /** What of the packets to the UDP port among them is dropped; null: nothing. */
  readonly preFilter: PreFilter | null;
  /** True: answers to connections that were let in are let out, where rules of ours can see to it (iptables). */
  readonly answers?: boolean;
  /** True: doors may lead elsewhere ({@link Forward}), and there are rules for it. Without, no forward is open. */
  readonly forwards?: boolean;
}

/** A firewall that opens doors and closes them by itself: the kernel, not the daemon, takes a grant away again. */
export interface Firewall {
  /** For the log: `nftables, own table inet spa`. */
  readonly name: string;
  /**
   * Puts the daemon's own rules and doors in place in one atomic change. Called at start, again on reload, and after
   * somebody else's flush. Resolves to warnings for the operator, one line each.
   * @throws FirewallError and then nothing was changed; RangeError for doors that no rule can hold.
   */
  install(policy: GatePolicy, options: InstallOptions): Promise<readonly string[]>;
  /**
   * Opens the doors of `grant` in one atomic change; resolves once the kernel has confirmed it, to the time
   * (ms since epoch) until which all of them are open. A door that is open longer already is left as it is, unless it led elsewhere.
   * @throws FirewallError and then no door was opened; {@link FirewallError} also if `install` has not put the
   *   rules in place or somebody removed them since: install again, then grant again.
   */
  grant(grant: Grant): Promise<{ readonly expiresAt: number }>;
  /**
   * Brings each of these doors to exactly what its change says, in one atomic change; later ones of the same door count.
   * @throws FirewallError and then nothing was changed; RangeError for a change that no rule can hold.
   */
  adjust(changes: readonly DoorChange[]): Promise<void>;
  /**
   * True if all that {@link Firewall.install} has put in place stands as it left it, doors aside; false before the
   * first. Cheap enough for every second.
   * @throws FirewallError if that cannot be found out.
   */
  isIntact(): Promise<boolean>;
  /**
   * Names the kernel's objects that hold the doors: another as soon as somebody has made them anew, with whatever doors.
   * Null before the first install, and for firewalls that list their doors quickly anyway.
   */
  mark(): string | null;
  /** What the pre-filter has dropped, a row for each reason that it looks at. @throws FirewallError */
  counters(): Promise<readonly FirewallCounter[]>;
  /** The doors that are open. @throws FirewallError */
  list(): Promise<readonly Door[]>;
  /** Closes all doors, leaves the other rules. @throws FirewallError */
  flush(): Promise<void>;
  /**
   * Ends the session with the firewall. With `flush` all doors are closed, and rules in a chain of somebody
   * else's are taken away; without it everything stays for the next daemon. Never opens a protected port.
   */
  close(options: { readonly flush: boolean }): Promise<void>;
}

/** Why a forward is not opened without {@link GatePolicy.forwards}. */
export const NO_FORWARDS = 'no stanza allows NAT, so there are no rules for it';

/** The firewall did not do what it was told. The message is one line: command, what it said, status. */
export class FirewallError extends Error {
  override readonly name = 'FirewallError';
  readonly command: string;
  /** Exit status, or null if the command could not be run or did not answer. */
  readonly status: number | null;
  /** True if only a lack of privilege was in the way: the daemon ends with `ExitCode.noPermission`. */
  readonly notPermitted: boolean;
  /** True if it did not answer in time: nobody knows whether it has done it. */
  readonly timedOut: boolean;

  constructor(command: string, status: number | null, said: string) {
    const notPermitted = /not permitted|permission denied|must be root/i.test(said);
    const words = said.trim().replaceAll(/\s*\n\s*/g, '; ') || 'failed without a word';
    super(
      `${command}: ${notPermitted ? 'needs root or CAP_NET_ADMIN: ' : ''}${words} (${status === null ? 'no exit status' : `status ${status}`})`,
    );
    this.command = command;
    this.status = status;
    this.notPermitted = notPermitted;
    this.timedOut = status === null && said.startsWith('no answer within');
  }
}
