// MongoDB with its own driver: commands as the driver's command monitoring tells them, the monitor's greetings left out.
import { MongoClient } from 'mongodb'
import { did, done, port } from './account.mjs'

const c = new MongoClient(`mongodb://127.0.0.1:${port}`, { monitorCommands: true, maxPoolSize: 4, retryWrites: false, serverMonitoringMode: 'poll' })
const names = new Map()
c.on('commandStarted', e => {
  const collection = e.commandName === 'getMore' ? e.command.collection : e.command[e.commandName]
  names.set(e.requestId, typeof collection === 'string' ? `${e.commandName} ${collection}` : `${e.commandName} ${e.databaseName}`)
})
c.on('commandSucceeded', e => {
  did(names.get(e.requestId))
  for (const x of e.reply.writeErrors ?? []) did(`error ${x.code}`)
})
c.on('commandFailed', e => {
  did(names.get(e.requestId))
  did(`error ${e.failure.code}`)
})

const users = c.db('shop').collection('users')
await users.insertMany(Array.from({ length: 300 }, (_, i) => ({ _id: i, name: 'hunter2hunter2'.repeat(20) })))
for (let i = 0; i < 40; i++) await users.findOne({ _id: i })
await users.find({}, { batchSize: 70 }).toArray()
for (let i = 0; i < 3; i++) await users.insertOne({ _id: i }).catch(() => {})
await users.updateMany({ _id: { $lt: 5 } }, { $set: { a: 1 } })
await users.deleteOne({ _id: 2 })
await users.aggregate([{ $match: { _id: { $gt: 100 } } }, { $count: 'n' }]).toArray()
await c.db('shop').command({ nonsense: 1 }).catch(() => {})
await Promise.all(Array.from({ length: 100 }, (_, i) => users.findOne({ _id: i })))
await c.close()
done()
