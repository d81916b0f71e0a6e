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

    /// <inheritdoc />
    public async ValueTask DisposeAsync()
    {
        if (_dataSource is not null)
        {
            await _dataSource.DisposeAsync();
        }

        await server.ExecuteAsync($"drop database if exists {Name} with (force)");
    }
}
