import { writeFileSync } from 'node:fs';
import type { Readable, Writable } from 'node:stream';
import { pathToFileURL } from 'node:url';
import { createHosts } from './hosts.ts';
import { createScratch } from './scratch.ts';

/** A real browser (Chromium) on a host that reaches nothing. Drive it only where `lacking('chromium')` is false. */
export interface Browser {
  /** Opens a file in a tab of its own and waits until it is drawn. */
  readonly open: (file: string, view?: View) => Promise<Tab>;
}

/** How somebody looks at a page. */
export interface View {
  readonly width?: number;
  readonly height?: number;
  readonly scheme?: 'light' | 'dark';
  readonly media?: 'screen' | 'print';
  readonly hasScripts?: boolean;
}

/** A page that is looked at. */
export interface Tab {
  /** The value of an expression of JavaScript in the page, which JSON can carry. @throws Error if it throws. */
  readonly evaluate: <T>(expression: string) => Promise<T>;
  /** Looks at it in another way. */
  readonly look: (view: View) => Promise<void>;
  /** What the browser found wrong so far: errors, warnings, violations of the page's policy. */
  readonly complaints: readonly string[];
  /** The addresses that the page asked for, its own first. */
  readonly requests: readonly string[];
  /** Writes what is seen as PNG. */
  readonly screenshot: (file: string, whole?: 'whole') => Promise<void>;
  /** The page on paper: a PDF. */
  readonly paper: () => Promise<Buffer>;
}

/** Starts a browser, which ends with the test, and all its processes with it. */
export async function openBrowser(t: { teardown(end: () => Promise<void>): void }): Promise<Browser> {
  const hosts = createHosts();
  const scratch = createScratch();
  t.teardown(async () => {
    await hosts.dispose();
    scratch.remove();
  });
  const host = await hosts.add({ device: 'none', environment: { HOME: scratch.path() } });
  const child = host.spawn(['chromium', ...OPTIONS, `--user-data-dir=${scratch.path('profile')}`], {
    // It reads commands from descriptor 3 and answers on 4.
    stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'],
  });
  const devtools = connect(child.stdio[3] as Writable, child.stdio[4] as Readable);
  return { open: (file, view = {}) => openTab(devtools, file, view) };
}

const OPTIONS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-dev-shm-usage',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--hide-scrollbars',
  '--force-device-scale-factor=1',
  '--remote-debugging-pipe',
];

interface Message {
  readonly id?: number;
  readonly method?: string;
  readonly sessionId?: string;
  readonly params?: Readonly<Record<string, unknown>>;
  readonly result?: Readonly<Record<string, unknown>>;
  readonly error?: { readonly message: string };
}

/** The DevTools protocol: JSON, each ended by a zero octet. */
interface Devtools {
  send<T>(method: string, params?: object, sessionId?: string): Promise<T>;
  listen(
    sessionId: string,
    listener: (method: string, params: Readonly<Record<string, unknown>>) => void,
  ): void;
}

function connect(input: Writable, output: Readable): Devtools {
  const waiting = new Map<number, { resolve(result: unknown): void; reject(error: Error): void }>();
  const listeners = new Map<string, (method: string, params: Readonly<Record<string, unknown>>) => void>();
  let next = 1;
  let pending: Buffer[] = [];
  const receive = (message: Message): void => {
    if (message.id === undefined) {
      listeners.get(message.sessionId ?? '')?.(message.method ?? '', message.params ?? {});
      return;
    }
    const answer = waiting.get(message.id);
    waiting.delete(message.id);
    if (message.error === undefined) answer?.resolve(message.result);
    else answer?.reject(new Error(`browser: ${message.error.message}`));
  };
  const fail = (): void => {
    for (const { reject } of waiting.values()) reject(new Error('the browser has ended'));
    waiting.clear();
  };
  output.on('data', (data: Buffer) => {
    let rest = data;
    for (let end = rest.indexOf(0); end >= 0; end = rest.indexOf(0)) {
      const text = Buffer.concat([...pending, rest.subarray(0, end)]).toString();
      pending = [];
      rest = rest.subarray(end + 1);
      receive(JSON.parse(text) as Message);
    }
    if (rest.length > 0) pending.push(rest);
  });
  output.on('close', fail);
  input.on('error', fail);
  return {
    send: <T>(method: string, params: object = {}, sessionId?: string) =>
      new Promise<T>((resolve, reject) => {
        const id = next++;
        waiting.set(id, { resolve: (result) => resolve(result as T), reject });
        input.write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
      }),
    listen: (sessionId, listener) => listeners.set(sessionId, listener),
  };
}

async function openTab(devtools: Devtools, file: string, view: View): Promise<Tab> {
  const { targetId } = await devtools.send<{ targetId: string }>('Target.createTarget', {
    url: 'about:blank',
  });
  const { sessionId } = await devtools.send<{ sessionId: string }>('Target.attachToTarget', {
    targetId,
    flatten: true,
  });
  const send = <T>(method: string, params: object = {}): Promise<T> =>
    devtools.send<T>(method, params, sessionId);
  const complaints: string[] = [];
  const requests: string[] = [];
  let loaded = (): void => {};
  const isLoaded = new Promise<void>((resolve) => {
    loaded = resolve;
  });
  devtools.listen(sessionId, (method, params) => {
    if (method === 'Page.loadEventFired') loaded();
    if (method === 'Network.requestWillBeSent') requests.push((params.request as { url: string }).url);
    if (COMPLAINTS.has(method)) complaints.push(`${method}: ${JSON.stringify(params)}`);
  });
  for (const domain of ['Page', 'Runtime', 'Log', 'Network', 'Audits']) await send(`${domain}.enable`);
  const look = async (next: View): Promise<void> => {
    const { width = 1280, height = 900, scheme = 'light', media = 'screen', hasScripts = true } = next;
    await send('Emulation.setDeviceMetricsOverride', { width, height, deviceScaleFactor: 1, mobile: false });
    await send('Emulation.setEmulatedMedia', {
      media,
      features: [{ name: 'prefers-color-scheme', value: scheme }],
    });
    await send('Emulation.setScriptExecutionDisabled', { value: !hasScripts });
  };
  const evaluate = async <T>(expression: string): Promise<T> => {
    const { result, exceptionDetails } = await send<Evaluation>('Runtime.evaluate', {
      expression,
      returnByValue: true,
      awaitPromise: true,
    });
    if (exceptionDetails !== undefined) {
      throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    }
    return result.value as T;
  };
  await look(view);
  const { errorText } = await send<{ errorText?: string }>('Page.navigate', {
    url: pathToFileURL(file).href,
  });
  if (errorText !== undefined) throw new Error(`${file}: ${errorText}`);
  await isLoaded;
  return {
    evaluate,
    look,
    complaints,
    requests,
    screenshot: async (to, whole) => {
      const { data } = await send<{ data: string }>('Page.captureScreenshot', {
        captureBeyondViewport: whole === 'whole',
      });
      writeFileSync(to, Buffer.from(data, 'base64'));
    },
    paper: async () => {
      const { data } = await send<{ data: string }>('Page.printToPDF', {
        preferCSSPageSize: true,
        printBackground: true,
      });
      return Buffer.from(data, 'base64');
    },
  };
}

interface Evaluation {
  readonly result: { readonly value?: unknown };
  readonly exceptionDetails?: {
    readonly text: string;
    readonly exception?: { readonly description?: string };
  };
}

const COMPLAINTS = new Set([
  'Runtime.exceptionThrown',
  'Runtime.consoleAPICalled',
  'Log.entryAdded',
  'Audits.issueAdded',
  'Network.loadingFailed',
]);
