// Preloaded into a gateway: a file named "eat" beside its state directory makes its heap run full.
const fs = require("node:fs");
const path = require("node:path");

const order = path.join(path.dirname(process.env.OPENCLAW_STATE_DIR ?? "/nowhere/state"), "eat");
const timer = setInterval(() => {
  if (!fs.existsSync(order)) return;
  fs.unlinkSync(order);
  const bite = [];
  while (bite.length < 8_000_000) bite.push(bite.length + 0.5);
  const eaten = [];
  for (;;) eaten.push(bite.slice());
}, 100);
timer.unref();
