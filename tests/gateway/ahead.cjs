// Preloaded into a gateway: its clock is ahead by what a file named "ahead" beside its state
// directory says, in milliseconds.
const fs = require("node:fs");
const path = require("node:path");

const file = path.join(path.dirname(process.env.OPENCLAW_STATE_DIR ?? "/nowhere/state"), "ahead");
if (fs.existsSync(file)) {
  const ahead = Number(fs.readFileSync(file, "utf8"));
  const now = Date.now;
  globalThis.Date = class extends Date {
    constructor(...given) {
      if (given.length === 0) super(now() + ahead);
      else super(...given);
    }
    static now() {
      return now() + ahead;
    }
  };
}
