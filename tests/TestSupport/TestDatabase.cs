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

    /// <summary>For the test's own statements.</summary>
    public NpgsqlDataSource DataSource => _dataSource ??= NpgsqlDataSource.Create(ConnectionString);

    /// <summary>Makes a database of the caller's own.</summary>
    public static async Task<TestDatabase> CreateAsync(PostgresServer server)
    {
        var database = new TestDatabase(server);
        await database.InitializeAsync();
        return database;
    }

    /// <inheritdoc />
    public async ValueTask InitializeAsync() => await server.ExecuteAsync($"create database {Name}");

    /// <summary>Closes its connections. It goes with its server: dropped by itself, it would slow down the next one's hundreds of files.</summary>
    public ValueTask DisposeAsync() => _dataSource?.DisposeAsync() ?? ValueTask.CompletedTask;
}
