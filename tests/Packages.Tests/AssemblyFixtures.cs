using Platform.TestSupport;

[assembly: AssemblyFixture(typeof(PostgresServer))]
