import type { SecretSource } from '../packet-keys.ts';
import type { Secret } from '../secret.ts';

/** The same source, which asks a person for each thing only once. */
export function askOnce(source: SecretSource): SecretSource {
  const asked = new Map<string, Promise<Secret>>();
  return {
    piped: source.piped,
    ask: (what) => {
      const answer = asked.get(what) ?? source.ask(what);
      asked.set(what, answer);
      return answer;
    },
  };
}
