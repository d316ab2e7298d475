// The gateway's own store library as a busy writer beside a compaction.
//
//   node update_loop.mjs LIBRARY STORE loop SECONDS   many small updates, then a JSON line
//   node update_loop.mjs LIBRARY STORE stale SECONDS  the same, and each brings run 0 back
//   node update_loop.mjs LIBRARY STORE hold SECONDS   one update that keeps the lock that long
//
// Update number N adds a chat and a run whose keys end in N; the last line is
// {"updates": how many were acknowledged, "failed": [why the others were not]}.
// `hold` prints "locked" once it has the lock, so that the test knows when to start.
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { pathToFileURL } from "node:url";

const [library, store, mode, seconds] = process.argv.slice(2);
const { updateSessionStore } = await import(pathToFileURL(library));
const DAY = 86_400_000;
const main = "agent:main:main";
let updates = 0;
const failed = [];

function runKey(number) {
  return `agent:main:cron:update-loop:run:${number}`;
}

async function update(number, hold) {
  const chat = `agent:main:telegram:direct:${number}`;
  const run = runKey(number);
  try {
    await updateSessionStore(store, async (sessions) => {
      if (hold) {
        console.log("locked");
        await sleep(hold);
      }
      // A counter in an entry that must survive, a new chat, and one long-finished run
      // so that every compaction has something to remove.
      sessions[main].counter = (sessions[main].counter ?? 0) + 1;
      sessions[chat] = { sessionId: randomUUID(), updatedAt: Date.now() };
      sessions[run] = { sessionId: randomUUID(), updatedAt: Date.now() - 3 * DAY };
      // As a writer does that saves what it had read before the compaction.
      if (mode === "stale") sessions[runKey(0)] = sessions[run];
    });
    updates += 1;
  } catch (error) {
    failed.push(String(error));
  }
}

if (mode === "hold") {
  await update(0, Number(seconds) * 1000);
} else {
  const until = Date.now() + Number(seconds) * 1000;
  for (let number = 0; Date.now() < until; number += 1) {
    await update(number, 0);
    await sleep(Math.random() * 30);
  }
}
console.log(JSON.stringify({ updates, failed }));
process.exit(0); // the library keeps timers that would hold us here
