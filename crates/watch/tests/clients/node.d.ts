// What the TypeScript client and its test use of Node, so that both are type-checked with nothing but the compiler.
// A service has the real ones from `@types/node`.

declare class Buffer {
  static byteLength(text: string): number;
}
declare function setTimeout(run: () => void, milliseconds: number): { unref(): void };
declare function clearTimeout(timer: ReturnType<typeof setTimeout> | undefined): void;
declare const process: {
  readonly env: { [name: string]: string | undefined };
  readonly argv: string[];
  readonly stdout: { write(text: string): boolean };
  readonly stdin: { on(event: "end", run: () => void): void; resume(): void };
};

declare module "node:http" {
  interface IncomingMessage extends AsyncIterable<string> {
    readonly statusCode?: number;
    setEncoding(encoding: "utf8"): this;
    resume(): this;
  }
  interface ClientRequest {
    on(event: "timeout" | "close", run: () => void): this;
    on(event: "error", run: (error: Error) => void): this;
    end(body?: string): this;
    destroy(error?: Error): this;
  }
  interface RequestOptions {
    socketPath: string;
    path: string;
    method?: string;
    headers: { [name: string]: string };
    agent: false;
    timeout: number;
  }
  function request(options: RequestOptions, answered: (answer: IncomingMessage) => void): ClientRequest;
}
