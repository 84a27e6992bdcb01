// Prints the totals of one run of the conformance suite and fails unless it is
// spotless.
//
//   node totals.mjs <revision> <directory of the run's results>
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

// How many checks succeed at the least: fewer means that scenarios did not run.
const leastSuccesses = { "2025-11-25": 81, "2026-07-28": 150 };

// The tasks extension is not there yet.
const tasks = /^server-tasks-/;

const [revision, dir] = process.argv.slice(2);
const count = { SUCCESS: 0, FAILURE: 0, WARNING: 0, SKIPPED: 0 };
const bad = [];
const skipped = new Set();
for (const scenario of readdirSync(dir)) {
  if (tasks.test(scenario)) {
    skipped.add("tasks-* (extension)");
    continue;
  }
  for (const check of JSON.parse(readFileSync(join(dir, scenario, "checks.json"), "utf8"))) {
    if (!(check.status in count)) continue;
    count[check.status]++;
    if (check.status === "SKIPPED") skipped.add(check.id);
    const polling = scenario.startsWith("server-server-sse-polling");
    if (check.status === "FAILURE" || (check.status === "WARNING" && polling)) {
      bad.push(`${check.status} ${scenario} ${check.id}: ${check.errorMessage ?? check.description}`);
    }
  }
}
const not = skipped.size > 0 ? `; skipped: ${[...skipped].sort().join(", ")}` : "";
console.log(`${count.SUCCESS} checks successful, ${count.FAILURE} failed, ${count.WARNING} warnings${not}`);
if (!(count.SUCCESS >= leastSuccesses[revision])) bad.push(`fewer than ${leastSuccesses[revision]} successful checks`);
for (const line of bad) console.log(line);
process.exit(bad.length > 0 ? 1 : 0);
