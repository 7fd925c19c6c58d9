// A service's configuration while it runs, from tend's watch endpoint. One file, nothing but Node's own http.
//
//   import { ConfigClient } from "./tend-config";
//
//   const client = new ConfigClient();                    // the socket named by TEND_CONFIG_SOCKET
//   client.check((values) => { /* throw to refuse a whole set: the one before stays in force */ });
//   client.on("limits.*", (key, now, before) => console.log(key, "is", now, "now"));
//   await client.start();                                 // resolves with the first set
//   client.get("limits.orders");
//
// A callback that throws, or whose promise is rejected, does not keep the others from running; tend is told which failed and
// why, so never put a secret into an error. The protocol is in docs/reference/config-watch.md.

import * as http from "node:http";

/** What JSON can hold. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** Dotted keys and their values. */
export type Values = { readonly [key: string]: Json };

/** Throws, or rejects, to refuse a whole set. */
export type Check = (values: Values) => void | Promise<void>;

/** Runs for a key that changed; `now` is undefined when it is gone, `before` when it was not there. */
export type Callback = (key: string, now: Json | undefined, before: Json | undefined) => void | Promise<void>;

/** Milliseconds; tend says something every ten seconds. */
const SILENCE_MAX = 30_000;
/** Milliseconds between tries to connect: the first and the longest. */
const PAUSES: [number, number] = [50, 500];

/** Holds the configuration that was last known good. */
export class ConfigClient {
  private readonly socket: string;
  private readonly keys: string[];
  private readonly checks: Check[] = [];
  private readonly callbacks: { pattern: string; callback: Callback }[] = [];
  private held: { revision: number; values: Values } = { revision: 0, values: {} };
  private received: { revision: number; values: Values } = { revision: 0, values: {} };
  private said: string | undefined;
  private request: http.ClientRequest | undefined;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private pause: number = PAUSES[0];
  private stopped = false;
  private firstHeld: () => void = () => {};

  /** `socket` is its path; `keys` are patterns (`a.b`, `a.*`), all keys where there are none. */
  constructor(socket: string | undefined = process.env["TEND_CONFIG_SOCKET"], keys: string[] = []) {
    if (!socket) {
      throw new Error("there is no TEND_CONFIG_SOCKET in the environment, and no path was given");
    }
    this.socket = socket;
    this.keys = keys.map(patternOf);
  }

  /** Adds a check that runs before a set is held. */
  check(check: Check): this {
    this.checks.push(check);
    return this;
  }

  /** Has `callback` run for each key that changes and fits `a.b`, `a.*` or `*`. At first all keys are new. */
  on(pattern: string, callback: Callback): this {
    this.callbacks.push({ pattern: patternOf(pattern), callback });
    return this;
  }

  /** Begins to watch. The promise is for the first set that is held; it waits for tend as long as it takes. */
  start(): Promise<void> {
    const first = new Promise<void>((resolve) => (this.firstHeld = resolve));
    this.connect();
    return first;
  }

  /** Ends watching, and lets the process end. */
  close(): void {
    this.stopped = true;
    clearTimeout(this.timer);
    this.request?.destroy();
  }

  /** The revision that is held; 0 before the first. */
  get revision(): number {
    return this.held.revision;
  }

  /** All values that are held. */
  get values(): Values {
    return this.held.values;
  }

  /** One value that is held. */
  get(key: string): Json | undefined {
    return this.held.values[key];
  }

  private connect(): void {
    const query = this.keys.length > 0 ? "?keys=" + this.keys.join(",") : "";
    const headers: { [name: string]: string } = { accept: "text/event-stream" };
    if (this.received.revision > 0) {
      headers["last-event-id"] = String(this.received.revision);
    }
    // An agent of its own for each connection: a shared one would queue the stream behind others.
    const request = http.request(
      { socketPath: this.socket, path: "/v1/config/events" + query, headers, agent: false, timeout: SILENCE_MAX },
      (answer) => {
        if (answer.statusCode !== 200) {
          request.destroy();
          return;
        }
        this.read(answer).catch(() => {}).then(() => request.destroy());
      },
    );
    this.request = request;
    request.on("timeout", () => request.destroy());
    request.on("error", () => {}); // tend is away; `close` follows
    request.on("close", () => this.again());
    request.end();
  }

  private again(): void {
    if (!this.stopped) {
      this.timer = setTimeout(() => this.connect(), this.pause);
      this.pause = Math.min(this.pause * 2, PAUSES[1]);
    }
  }

  /** Reads events until the connection ends. */
  private async read(answer: http.IncomingMessage): Promise<void> {
    if (this.said !== undefined) {
      await this.say(this.said);
    }
    answer.setEncoding("utf8");
    let [text, kind, data] = ["", "", ""];
    for await (const piece of answer) {
      text += piece;
      const lines = text.split("\n");
      text = lines.pop() ?? "";
      for (const line of lines) {
        if (line.startsWith("event:")) {
          kind = line.slice(6).trim();
        } else if (line.startsWith("data:")) {
          data += line.slice(5).trimStart();
        } else if (line === "") {
          if (kind === "config") {
            await this.event(data);
          }
          [kind, data] = ["", ""];
        }
      }
    }
  }

  private async event(data: string): Promise<void> {
    let revision: number;
    try {
      const event = JSON.parse(data) as { revision: number; whole: boolean; changed: Values; removed: string[] };
      const values: { [key: string]: Json } = event.whole ? {} : { ...this.received.values };
      for (const key of event.removed) {
        delete values[key];
      }
      revision = event.revision;
      this.received = { revision, values: Object.assign(values, event.changed) };
    } catch (error) {
      this.received = { revision: 0, values: {} }; // what is not understood is asked for again as a whole
      throw error;
    }
    this.pause = PAUSES[0];
    const error = await this.take();
    this.said = JSON.stringify(error === "" ? { revision } : { revision, error });
    await this.say(this.said);
  }

  /** Holds what was received and tells the callbacks; returns why not, or which of them failed. */
  private async take(): Promise<string> {
    const now = this.received.values;
    for (const check of this.checks) {
      try {
        await check(now);
      } catch (error) {
        return textOf(error);
      }
    }
    const before = this.held.values;
    this.held = this.received;
    this.firstHeld();
    const failures: string[] = [];
    for (const key of [...new Set([...Object.keys(now), ...Object.keys(before)])].sort()) {
      if (JSON.stringify(now[key]) === JSON.stringify(before[key])) {
        continue;
      }
      for (const { pattern, callback } of this.callbacks) {
        if (fits(pattern, key)) {
          try {
            await callback(key, now[key], before[key]);
          } catch (error) {
            failures.push(key + ": " + textOf(error)); // the others run all the same
          }
        }
      }
    }
    return failures.join("; ");
  }

  /** Tells tend what was made of a revision; rejected when it was not heard, which begins the connection anew. */
  private say(said: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const headers = { "content-type": "application/json", "content-length": String(Buffer.byteLength(said)) };
      const request = http.request(
        { socketPath: this.socket, path: "/v1/config/ack", method: "POST", headers, agent: false, timeout: SILENCE_MAX },
        (answer) => {
          answer.resume();
          if ((answer.statusCode ?? 500) < 500) {
            resolve();
          } else {
            reject(new Error("tend did not take the acknowledgement"));
          }
        },
      );
      request.on("timeout", () => request.destroy(new Error("tend is silent")));
      request.on("error", reject);
      request.end(said);
    });
  }
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message || error.name : String(error);
}

function patternOf(pattern: string): string {
  if (!/^(\*|[^*,]+|[^*,]+\.\*)$/.test(pattern)) {
    throw new Error("`" + pattern + "` is no pattern of keys: a key, `prefix.*` or `*`");
  }
  return pattern;
}

function fits(pattern: string, key: string): boolean {
  return pattern.endsWith("*") ? key.startsWith(pattern.slice(0, -1)) : key === pattern;
}
