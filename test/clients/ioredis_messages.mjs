// Redis with ioredis: a subscriber and a publisher, transactions, commands that block, scripts, and what a cluster refuses.
// The arguments are the port of a server, and of one that is a cluster of its own.
import Redis from 'ioredis'
import { did, done, port } from './account.mjs'

const open = (to, more = {}) => new Redis({ host: '127.0.0.1', port: to, enableReadyCheck: false, ...more })
const subscriber = open(port)
const c = open(port)

async function run (operation, command, expected) {
  try {
    await command
    if (expected) throw new Error(`${operation} succeeded`)
    did(operation)
  } catch (e) {
    if (!expected || !e.message.startsWith(expected)) throw e
    did(`${operation} error=${expected}`)
  }
}

// Deliveries.
let got = 0
const messages = 120
const all = new Promise(resolve => {
  const count = channel => { did(`receive ${channel}`); if (++got === messages + messages / 2) resolve() }
  subscriber.on('message', count)
  subscriber.on('pmessage', (pattern, channel) => count(channel))
})
await run('SUBSCRIBE', subscriber.subscribe('orders', 'returns'))
await run('PSUBSCRIBE', subscriber.psubscribe('ord*'))
for (let i = 0; i < messages; i++) await run('PUBLISH', c.publish(i % 2 === 0 ? 'orders' : 'returns', 'hunter2hunter2'.repeat(i)))
await all
await run('UNSUBSCRIBE', subscriber.unsubscribe('orders', 'returns'))
await run('PUNSUBSCRIBE', subscriber.punsubscribe('ord*'))
await run('GET', subscriber.get('after'))

// Transactions: one that succeeds, one in which a command fails, one that a watched key aborts.
await run('SET', c.set('text', 'hunter2hunter2'))
for (let i = 0; i < 20; i++) {
  await c.multi().incr('n').set('k', 'hunter2hunter2').exec()
  for (const name of ['MULTI', 'INCR', 'SET', 'EXEC']) did(name)
}
const results = await c.multi().incr('n').incr('text').get('n').exec()
if (!results[1][0]) throw new Error('INCR of a text succeeded')
for (const name of ['MULTI', 'INCR', 'INCR', 'GET', 'EXEC error=ERR']) did(name)
await run('WATCH', c.watch('n'))
const other = open(port)
await run('INCR', other.incr('n'))
if (await c.multi().get('n').exec() !== null) throw new Error('a transaction was not aborted')
for (const name of ['MULTI', 'GET', 'EXEC error=aborted']) did(name)

// Commands that block: one that ends by its timeout, one that another client answers.
await run('BLPOP', c.blpop('queue', 0.2))
const waiting = run('BLPOP', c.blpop('queue', 5))
await new Promise(resolve => setTimeout(resolve, 50))
await run('LPUSH', other.lpush('queue', 'hunter2hunter2'))
await waiting

// Scripts.
await run('EVAL', c.eval('return redis.call("get", KEYS[1])', 1, 'n'))
await run('EVAL', c.eval('return redis.error_reply("CUSTOM hunter2hunter2")', 0), 'CUSTOM')
await run('EVALSHA', c.evalsha('0'.repeat(40), 0), 'NOSCRIPT')

// Errors of a cluster: before it has slots, and with all of them.
const cluster = open(Number(process.argv[3]))
await run('SET', cluster.set('a', 'hunter2hunter2'), 'CLUSTERDOWN')
await run('CLUSTER ADDSLOTSRANGE', cluster.cluster('ADDSLOTSRANGE', '0', '16383'))
for (let state = ''; !state.includes('cluster_state:ok');) {
  await new Promise(resolve => setTimeout(resolve, 100))
  state = await cluster.cluster('INFO')
  did('CLUSTER INFO')
}
await run('MGET', cluster.mget('a', 'b'), 'CROSSSLOT')
done()
