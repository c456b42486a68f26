// GraphQL Yoga with JIT: PORT, PROTOS and the departments' addresses from the environment.
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { useGraphQlJit } from '@envelop/graphql-jit'
import { createSchema, createYoga } from 'graphql-yoga'
import { Departments } from '../common/departments.mjs'
import { resolvers } from '../common/resolvers.mjs'

const typeDefs = readFileSync(new URL('../common/schema.graphql', import.meta.url), 'utf8')
const yoga = createYoga({
  schema: createSchema({ typeDefs, resolvers }),
  context: ({ request }) => ({ departments: new Departments(request.headers.get('authorization')) }),
  plugins: [useGraphQlJit()],
  graphiql: false,
  landingPage: false,
})
const port = Number(process.env.PORT ?? 4001)
const server = createServer(yoga)
server.listen(port, '127.0.0.1', () => console.log(`yoga on 127.0.0.1:${port}${yoga.graphqlEndpoint}`))
for (const name of ['SIGTERM', 'SIGINT']) process.once(name, () => process.exit(0))
