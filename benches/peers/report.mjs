// node report.mjs FIFO BUSY [--json]: prints the measures that come in, one JSON object a line, as benches/engine.rs
// prints its own; and, once they end, how they compare. BUSY is the share of the machine that was taken before.

import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { cpus } from 'node:os';

// What is compared, and whether more of it is better. What was measured several times counts by its median.
const ROWS = [
  { name: 'enqueue_single', parts: ['enqueue_single'], unit: '1/s', more: true },
  { name: 'enqueue_bulk', parts: ['enqueue_bulk'], unit: '1/s', more: true },
  { name: 'drain', parts: ['drain'], unit: 'jobs/s', more: true },
  { name: 'drain_cpu', parts: ['drain_worker_cpu', 'drain_postgres_cpu', 'drain_redis_cpu'], unit: 'us/job', more: false },
  { name: 'enqueue_to_start_p50', parts: ['enqueue_to_start_p50'], unit: 'ms', more: false },
  { name: 'enqueue_to_start_p99', parts: ['enqueue_to_start_p99'], unit: 'ms', more: false },
];
const PEERS = ['bullmq', 'graphile'];

const [fifo, busy, format] = process.argv.slice(2);
const json = format === '--json';
const taken = new Map();
let settings = {};

print({ measure: 'busy_before', value: Number(busy), unit: '%', settings });
for await (const line of createInterface({ input: createReadStream(fifo) })) {
  const one = parse(line);
  if (one === undefined) continue;
  print(one);
  taken.set(one.measure, [...(taken.get(one.measure) ?? []), one.value]);
  settings = { jobs: one.settings.jobs, concurrency: one.settings.concurrency };
}
if (json) printRatios();
else printTable();

// A runner may say other things between the measures.
function parse(line) {
  try {
    const one = JSON.parse(line);
    return typeof one.measure === 'string' ? one : undefined;
  } catch {
    return undefined;
  }
}

function print(one) {
  if (json) console.log(JSON.stringify(one));
  else console.log(`${one.measure.padEnd(32)} ${one.value.toFixed(3).padStart(10)} ${one.unit}`);
}

// The figure of a row with that prefix, if it was taken. A peer without Redis has no CPU of Redis.
function figure(row, prefix) {
  const parts = row.parts.map((part) => median(taken.get(prefix + part))).filter((value) => value !== undefined);
  return parts.length === 0 ? undefined : parts.reduce((a, b) => a + b);
}

function median(values) {
  return values && [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
}

// How many times as good postroom is: above 1 it is ahead, whatever is measured.
function ratio(row, peer) {
  const [ours, theirs] = [figure(row, ''), figure(row, `${peer}_`)];
  if (ours === undefined || theirs === undefined) return undefined;
  return row.more ? ours / theirs : theirs / ours;
}

function printRatios() {
  for (const row of ROWS) {
    for (const peer of PEERS) {
      const value = ratio(row, peer);
      if (value !== undefined) print({ measure: `${row.name}_beside_${peer}`, value, unit: 'times', settings });
    }
  }
}

function printTable() {
  const head = ['', 'postroom', ...PEERS, ...PEERS.map((peer) => `beside ${peer}`)];
  const rows = ROWS.map((row) => [
    `${row.name}, ${row.unit}`,
    ...['', ...PEERS.map((peer) => `${peer}_`)].map((prefix) => shown(figure(row, prefix))),
    ...PEERS.map((peer) => (ratio(row, peer) === undefined ? '-' : `${ratio(row, peer).toFixed(2)}x`)),
  ]);
  const widths = head.map((_, i) => Math.max(...[head, ...rows].map((cells) => cells[i].length)));
  console.log('');
  for (const cells of [head, ...rows]) {
    console.log(cells.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i]))).join('  '));
  }
  console.log('\nBeside a peer: how many times as good postroom is; above 1 it is ahead.');
  console.log(`Before the run other programs took ${busy} % of this machine's ${cpus().length} cores.`);
}

function shown(value) {
  if (value === undefined) return '-';
  return value < 100 ? value.toFixed(1) : String(Math.round(value));
}
