using Npgsql;
using Platform.TestSupport;

namespace Platform.ServiceDefaults.Postgres.Tests.Database;

public sealed class PostgresServerTests(TestDatabase database) : IClassFixture<TestDatabase>
{
    [Fact]
    public async Task It_is_a_durable_PostgreSQL_18()
    {
        await using var command = database.DataSource.CreateCommand(
            "select current_setting('server_version_num')::int / 10000, current_setting('fsync'), current_setting('synchronous_commit')");
        await using var reader = await command.ExecuteReaderAsync();
        (await reader.ReadAsync()).ShouldBeTrue();
        reader.GetInt32(0).ShouldBe(18);
        reader.GetString(1).ShouldBe("on");
        reader.GetString(2).ShouldBe("on");
    }

    [Fact]
    public async Task A_server_of_ones_own_can_be_stopped_killed_and_started_again_with_its_data()
    {
        await using var server = await PostgresServer.StartNewAsync();
        await using var dataSource = NpgsqlDataSource.Create(server.ConnectionStringTo("postgres") + ";Pooling=false");
        await ExecuteAsync(dataSource, "create table kept (id int); insert into kept values (1)");

        await server.StopAsync();
        await Should.ThrowAsync<NpgsqlException>(() => ExecuteAsync(dataSource, "select 1"));
        await server.StartAsync();
        await ExecuteAsync(dataSource, "insert into kept values (2)");

        await server.KillAsync();
        await server.StartAsync();
        await using var command = dataSource.CreateCommand("select count(*) from kept");
        (await command.ExecuteScalarAsync()).ShouldBe(2L);
    }

    private static async Task ExecuteAsync(NpgsqlDataSource dataSource, string sql)
    {
        await using var command = dataSource.CreateCommand(sql);
        await command.ExecuteNonQueryAsync();
    }
}
