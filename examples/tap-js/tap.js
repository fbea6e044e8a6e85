'use strict';

// Reads what Millrace publishes on NATS as it goes by. docs/taps.md explains it.
//
//   node tap.js spans                every span, one a line
//   node tap.js errors               failed spans by service, every five seconds
//   node tap.js follow shop/cart     spans of one service; the server sends nothing else
//   node tap.js exchanges            what decoders saw, with attributes
//
// NATS_URL is the server, NATS_CREDENTIALS a file of `millrace nats credentials DIR observer`.

const fs = require('node:fs');
const path = require('node:path');
const { connect, credsAuthenticator } = require('nats');
const protobuf = require('protobufjs');
const s2 = require('./s2');

const schema = new protobuf.Root();
schema.resolvePath = (_, target) => path.join(process.env.MILLRACE_PROTO || path.join(__dirname, '../../proto'), target);
schema.loadSync(['millrace/v1/span.proto', 'millrace/v1/exchange.proto']);
const SpanBatch = schema.lookupType('millrace.v1.SpanBatch');
const ExchangeBatch = schema.lookupType('millrace.v1.ExchangeBatch');

// 64-bit numbers are BigInts or texts, because a JavaScript number has 53 bits: ids and times need all of them.
const plain = { longs: String, enums: String, bytes: Buffer, defaults: true, oneofs: true };

async function main(command, service) {
  const url = process.env.NATS_URL || 'nats://127.0.0.1:4222';
  const credentials = process.env.NATS_CREDENTIALS;
  const nc = await connect({
    servers: url, name: 'tap', ...(credentials && { authenticator: credsAuthenticator(fs.readFileSync(credentials)) }),
  });
  if (command === 'spans') {
    await read(nc, 'millrace.span.>', SpanBatch, printSpans);
  } else if (command === 'follow' && service) {
    const slash = service.indexOf('/');
    // The subject is millrace.span.PARTITION.NAMESPACE.SERVICE.
    const subject = `millrace.span.*.${token(service.slice(0, Math.max(slash, 0)))}.${token(service.slice(slash + 1))}`;
    await read(nc, subject, SpanBatch, printSpans);
  } else if (command === 'errors') {
    const counts = new Map();
    setInterval(() => showErrors(counts), Number(process.env.EVERY_MS) || 5000);
    await read(nc, 'millrace.span.>', SpanBatch, (batch) => countErrors(counts, batch));
  } else if (command === 'exchanges') {
    await read(nc, 'millrace.exchange.>', ExchangeBatch, printExchanges);
  } else {
    throw new Error('use: tap.js spans | errors | follow NAMESPACE/SERVICE | exchanges');
  }
}

// read calls handle with what is published on a subject from now on.
async function read(nc, subject, type, handle) {
  const subscription = nc.subscribe(subject);
  await nc.flush();
  console.error('tap: listening on', subject);
  for await (const m of subscription) {
    try {
      handle(decode(m, type));
    } catch (err) {
      console.error(`tap: a message on ${m.subject} is passed over: ${err.message}`);
    }
  }
}

// decode reads a message: perhaps compressed, as its header says, and of version 1.
function decode(m, type) {
  const encoding = m.headers?.get('Millrace-Encoding') || 'identity';
  let data = Buffer.from(m.data);
  if (encoding === 's2') data = s2.decode(data);
  else if (encoding !== 'identity') throw new Error(`unknown compression ${encoding}`);
  const batch = type.toObject(type.decode(data), plain);
  if (batch.version !== 1) throw new Error(`version ${batch.version} of the schema is not known`);
  return batch;
}

function printSpans(batch) {
  const resource = attributes(batch.resource?.attributes);
  for (const s of batch.spans) {
    const a = attributes(s.attributes);
    const parts = [s.traceId.toString('hex'), s.kind.slice('SPAN_KIND_'.length).toLowerCase(), resource.get('service.name'), JSON.stringify(s.name)];
    parts.push(`${Number(BigInt(s.endUnixNs) - BigInt(s.startUnixNs)) / 1e6}ms`);
    if (s.status === 'STATUS_CODE_ERROR') parts.push(`error=${a.get('error.type')}`);
    for (const name of ['db.query.text', 'url.path', 'rpc.method', 'messaging.destination.name']) {
      if (a.has(name)) parts.push(`${name}=${JSON.stringify(a.get(name))}`);
    }
    console.log(parts.join(' '));
  }
}

function countErrors(counts, batch) {
  const service = attributes(batch.resource?.attributes).get('service.name');
  const c = counts.get(service) || { spans: 0, failed: 0 };
  counts.set(service, c);
  c.spans += batch.spans.length;
  c.failed += batch.spans.filter((s) => s.status === 'STATUS_CODE_ERROR').length;
}

function showErrors(counts) {
  for (const [service, c] of [...counts].sort()) console.log(`${service}: ${c.failed} of ${c.spans} failed`);
}

// printExchanges shows one side of each request. Attributes refer to names by their place in the batch.
function printExchanges(batch) {
  for (const x of batch.exchanges) {
    const parts = [x.side, x.protocol, x.operation];
    if (x.errorType) parts.push(`error=${x.errorType}`);
    for (const a of x.attributes) {
      if (a.name >= batch.names.length || !a.value) continue; // value: which field is set; none that is known, none here
      const value = a.value === 'texts' ? a.texts.texts : a[a.value];
      parts.push(`${batch.names[a.name]}=${a.value === 'number' ? value : JSON.stringify(value)}`);
    }
    console.log(parts.join(' '));
  }
}

// attributes gives the attributes of a span or a resource by their names.
function attributes(list) {
  return new Map((list || []).map((kv) => [kv.key, kv.value === 'stringsValue' ? kv.stringsValue.values : kv[kv.value]]));
}

// token spells a name as a part of a subject: every byte but letters, digits, "-" and "_" is "=" and two digits.
function token(s) {
  if (s === '') return '_';
  if (s === '_') return '=5F';
  return [...Buffer.from(s)].map((c) => {
    const char = String.fromCharCode(c);
    return /[A-Za-z0-9_-]/.test(char) ? char : `=${c.toString(16).toUpperCase().padStart(2, '0')}`;
  }).join('');
}

main(...process.argv.slice(2)).catch((err) => {
  console.error('tap:', err.message);
  process.exitCode = 1;
});
