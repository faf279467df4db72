// The yardstick of `bench chat --peer ws`: what one writes with the npm package `ws` to repeat messages to a room.
//
// It does less than our server: no accounts, no storage, no acknowledgement. A client is sent `joined` when it says
// `join-room`; everything else it says must be a new-message frame of docs/chat-protocol.md whose offset is written
// as a 32-bit number, which is replaced by the room's next one.
import { WebSocketServer } from 'ws'

const OFFSET_KEY = Buffer.from('\xa6offset\xce', 'latin1')
const JOIN = Buffer.from('\xa1t\xa9join-room', 'latin1')
const JOINED = Buffer.from('\x82\xa1t\xa6joined\xa1d\x81\xa6offset\xce\0\0\0\0', 'latin1')

const rooms = new Map()

function roomOf(data) {
  const key = Buffer.from('\xa6roomId\xd9\x24', 'latin1')
  const start = data.indexOf(key) + key.length
  const name = data.toString('latin1', start, start + 36)
  let room = rooms.get(name)
  if (room === undefined) {
    room = { offset: 0, clients: new Set() }
    rooms.set(name, room)
  }
  return room
}

function numbered(data, offset) {
  const copy = Buffer.from(data)
  copy.writeUInt32BE(offset, copy.indexOf(OFFSET_KEY) + OFFSET_KEY.length)
  return copy
}

const server = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate: false, backlog: 1024 })

server.on('connection', (client) => {
  let room = null
  client.on('error', () => client.terminate())
  client.on('close', () => room?.clients.delete(client))
  client.on('message', (data) => {
    if (data.includes(JOIN)) {
      room = roomOf(data)
      room.clients.add(client)
      client.send(numbered(JOINED, room.offset))
    } else if (room !== null) {
      room.offset += 1
      const frame = numbered(data, room.offset)
      for (const each of room.clients) each.send(frame)
    }
  })
})

server.on('listening', () => console.log(server.address().port))
