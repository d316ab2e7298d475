// A gateway in small: loads the whole session store as OpenClaw does, then answers /healthz.
// With a large store and a small heap it dies as the real one does.
import { existsSync, readFileSync } from "node:fs";
import { createServer } from "node:http";

const [store, port] = process.argv.slice(2);
const sessions = existsSync(store) ? JSON.parse(readFileSync(store, "utf8")) : {};
const cache = structuredClone(sessions);
createServer((_, answer) => {
  answer.setHeader("content-type", "application/json");
  answer.end(JSON.stringify({ ok: true, status: "live", sessions: Object.keys(cache).length }));
}).listen(Number(port), "127.0.0.1");
process.on("SIGTERM", () => process.exit(0));
