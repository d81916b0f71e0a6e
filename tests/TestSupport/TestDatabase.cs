using Npgsql;
using Xunit;

namespace Platform.TestSupport;

/// <summary>An empty database of one test class: <c>IClassFixture&lt;TestDatabase&gt;</c>, or made with <see cref="CreateAsync"/> for one test.</summary>
public sealed class TestDatabase(PostgresServer server) : IAsyncLifetime
{
    private NpgsqlDataSource? _dataSource;

    /// <summary>The database's name.</summary>
    public string Name { get; } = $"test_{Guid.NewGuid():n}";

    /// <summary>How services connect to it.</summary>
    public string ConnectionString => server.ConnectionStringTo(Name);

    /// <summary>A data source for SQL that the test itself runs.</summary>
    public NpgsqlDataSource DataSource => _dataSource ??= NpgsqlDataSource.Create(ConnectionString);

    /// <summary>Creates a database, which the caller disposes of.</summary>
    public static async Task<TestDatabase> CreateAsync(PostgresServer server)
    {
        var database = new TestDatabase(server);
        await database.InitializeAsync();
        return database;
    }

    /// <inheritdoc />
    public async ValueTask InitializeAsync() => await server.ExecuteAsync($"create database {Name}");

    /// <summary>Closes the connections but doesn't drop the database: deleting its hundreds of files would slow down the next test class. It is deleted with the server.</summary>
    public ValueTask DisposeAsync() => _dataSource?.DisposeAsync() ?? ValueTask.CompletedTask;
}
