// Prints the totals of one run of the conformance suite and fails unless it is
// spotless.
//
//   node totals.mjs <directory of the run's results>
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

// The suite has 81 checks besides those of server-sse-polling, which is not
// scored: fewer means that scenarios did not run.
const leastSuccesses = 81;

const dir = process.argv[2];
const count = { SUCCESS: 0, FAILURE: 0, WARNING: 0 };
const bad = [];
for (const scenario of readdirSync(dir)) {
  for (const check of JSON.parse(readFileSync(join(dir, scenario, "checks.json"), "utf8"))) {
    if (!(check.status in count)) continue;
    count[check.status]++;
    const polling = scenario.startsWith("server-server-sse-polling");
    if (check.status === "FAILURE" || (check.status === "WARNING" && polling)) {
      bad.push(`${check.status} ${scenario} ${check.id}: ${check.errorMessage ?? check.description}`);
    }
  }
}
console.log(`${count.SUCCESS} checks successful, ${count.FAILURE} failed, ${count.WARNING} warnings`);
if (count.SUCCESS < leastSuccesses) bad.push(`fewer than ${leastSuccesses} successful checks`);
for (const line of bad) console.log(line);
process.exit(bad.length > 0 ? 1 : 0);
