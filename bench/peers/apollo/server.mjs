// Apollo Server on Express: PORT, PROTOS and the departments' addresses from the environment.
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { ApolloServer } from '@apollo/server'
import { ApolloServerPluginDrainHttpServer } from '@apollo/server/plugin/drainHttpServer'
import { expressMiddleware } from '@as-integrations/express5'
import express from 'express'
import { Departments } from '../common/departments.mjs'
import { resolvers } from '../common/resolvers.mjs'

const typeDefs = readFileSync(new URL('../common/schema.graphql', import.meta.url), 'utf8')
const app = express()
const httpServer = createServer(app)
const apollo = new ApolloServer({ typeDefs, resolvers, plugins: [ApolloServerPluginDrainHttpServer({ httpServer })] })
await apollo.start()
app.use('/graphql', express.json(), expressMiddleware(apollo, { context: async ({ req }) => ({ departments: new Departments(req.headers.authorization) }) }))
const port = Number(process.env.PORT ?? 4002)
httpServer.listen(port, '127.0.0.1', () => console.log(`apollo on 127.0.0.1:${port}/graphql`))
