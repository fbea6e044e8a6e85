// Redis with ioredis: commands alone, pipelines, transactions, errors, many at once.
import Redis from 'ioredis'
import { did, done, port } from './account.mjs'

const c = new Redis({ host: '127.0.0.1', port, enableReadyCheck: false })
async function run (operation, command) {
  try { await command } catch (e) { did(`error ${e.message.split(' ')[0]}`) }
  did(operation)
}
for (let i = 0; i < 50; i++) {
  await run('SET', c.set(`key${i}`, 'hunter2hunter2'.repeat(i)))
  await run('GET', c.get(`key${i}`))
}
await run('LPUSH', c.lpush('key1', 'x'))
await run('INCRBY', c.incrby('key2', 2))
const p = c.pipeline()
for (let i = 0; i < 100; i++) { p.hset('hash', `f${i}`, i); did('HSET') }
for (let i = 0; i < 100; i++) { p.hget('hash', `f${i}`); did('HGET') }
await p.exec()
await Promise.all(Array.from({ length: 500 }, () => run('INCR', c.incr('n'))))
await run('GET', c.get('x'.repeat(3000)))
c.disconnect()
done()
