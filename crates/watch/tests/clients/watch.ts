// What `clients.rs` runs to try the TypeScript client: says as lines of JSON what the client calls.

import { ConfigClient, Json } from "../../../../clients/typescript/tend-config";

function say(line: { [key: string]: Json }): void {
  process.stdout.write(JSON.stringify(line) + "\n");
}

const client = new ConfigClient(process.argv[2]);
client.check((values) => {
  if (values["reject"]) {
    throw new Error("rejected by the check");
  }
});
client.on("fails", async (_key, now) => {
  if (now !== undefined) {
    throw new Error("cannot do that");
  }
});
client.on("*", (key, now, before) => say({ key, new: now ?? null, old: before ?? null, held: client.revision }));
client.on("limits.*", (key) => say({ limit: key }));
client.start();
// Until the test has seen enough; nothing but the client keeps the process from ending, so closing it does end it.
process.stdin.on("end", () => {
  client.close();
  say({ closed: true });
});
process.stdin.resume();
