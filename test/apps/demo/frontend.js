// The demo's front end: an event loop that asks two services for each page, one after the other.
const http = require('http')

const agent = new http.Agent({ keepAlive: true, maxSockets: 32 })
const [listen, catalog, cart] = process.argv.slice(2)

function get (url) {
  return new Promise((resolve, reject) => {
    http.get(url, { agent }, (response) => {
      const chunks = []
      response.on('data', (chunk) => chunks.push(chunk))
      response.on('end', () => resolve({ status: response.statusCode, body: Buffer.concat(chunks).toString() }))
      response.on('error', reject)
    }).on('error', reject)
  })
}

const server = http.createServer(async (request, response) => {
  try {
    const item = new URL(request.url, 'http://shop').searchParams.get('item') || '1'
    const product = await get(`${catalog}/products/${item}`)
    const basket = await get(`${cart}/cart?item=${item}`)
    const status = product.status === 200 && basket.status === 200 ? 200 : 502
    response.writeHead(status, { 'Content-Type': 'application/json' })
    response.end(JSON.stringify({ product: product.body.length, basket: basket.body.length }))
  } catch (error) {
    response.writeHead(502)
    response.end(String(error))
  }
})

const [host, port] = listen.split(':')
server.listen(Number(port), host)
