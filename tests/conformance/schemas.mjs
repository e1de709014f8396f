// Writes the JSON schemas of the protocol, one file per revision: node schemas.mjs BUNDLE FOLDER.
// The conformance suite carries them, but only inside its bundle, as literals in the order of the revisions.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { runInNewContext } from "node:vm";

const REVISIONS = ["2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28"];
const [bundle, folder] = process.argv.slice(2);
const text = readFileSync(bundle, "utf8");

function endOf(start) {
  let depth = 0;
  let quote = "";
  for (let at = start; at < text.length; at++) {
    const mark = text[at];
    if (quote) {
      if (mark === "\\") at++;
      else if (mark === quote) quote = "";
    } else if ("`\"'".includes(mark)) quote = mark;
    else if (mark === "{") depth++;
    else if (mark === "}" && --depth === 0) return at + 1;
  }
  throw new Error("a schema without an end");
}

const starts = [...text.matchAll(/\{\$schema:`[^`]*`,(?:definitions|\$defs):/g)].map((match) => match.index);
const schemas = starts.map((start) => runInNewContext(`(${text.slice(start, endOf(start))})`));
const marks = schemas.map(({ $defs, definitions }) => {
  const known = $defs ?? definitions;
  const has = ["JSONRPCBatchRequest", "ElicitRequest", "Task", "DiscoverRequest"].map((name) => (name in known ? 1 : 0));
  return has.join("");
});
if (marks.join() !== "1000,0100,0110,0101") throw new Error(`other schemas than expected: ${marks}`);
mkdirSync(folder, { recursive: true });
schemas.forEach((schema, index) => writeFileSync(`${folder}/${REVISIONS[index]}.json`, JSON.stringify(schema)));
