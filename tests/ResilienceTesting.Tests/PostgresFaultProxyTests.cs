using System.Net;
using Npgsql;
using Platform.TestSupport;

[assembly: AssemblyFixture(typeof(PostgresServer))]

namespace Platform.ResilienceTesting.Tests;

/// <summary>Holds and cuts commits of a real client on a real server.</summary>
public sealed class PostgresFaultProxyTests(PostgresServer server) : IAsyncLifetime
{
    private readonly PostgresFaultProxy _proxy = new(() => new IPEndPoint(IPAddress.Loopback, server.Port));
    private TestDatabase _database = null!;
    private NpgsqlDataSource _client = null!;

    public async ValueTask InitializeAsync()
    {
        _database = await TestDatabase.CreateAsync(server);
        await using var create = _database.DataSource.CreateCommand("create table notes (n int)");
        await create.ExecuteNonQueryAsync();
        _client = NpgsqlDataSource.Create(new NpgsqlConnectionStringBuilder(_database.ConnectionString) { Port = _proxy.Port }.ConnectionString);
    }

    public async ValueTask DisposeAsync()
    {
        await _client.DisposeAsync();
        await _proxy.DisposeAsync();
        await _database.DisposeAsync();
    }

    [Theory]
    [InlineData(CommitMoment.BeforeItArrives, 0)]
    [InlineData(CommitMoment.BeforeItsReply, 1)]
    public async Task A_cut_commit_fails_for_the_client_whether_or_not_the_server_committed(CommitMoment moment, int there)
    {
        var trap = Arm(moment);
        var inserting = InsertAsync(1);
        var held = await trap.Held.WaitAsync(TimeSpan.FromSeconds(60));
        held.Proxy.ShouldBe(_proxy);
        inserting.IsCompleted.ShouldBeFalse();
        (await CountAsync()).ShouldBe(there);

        held.Cut();

        await Should.ThrowAsync<NpgsqlException>(() => inserting);
        (await CountAsync()).ShouldBe(there);
    }

    [Theory]
    [InlineData(CommitMoment.BeforeItArrives)]
    [InlineData(CommitMoment.BeforeItsReply)]
    public async Task A_released_commit_succeeds(CommitMoment moment)
    {
        var trap = Arm(moment);
        var inserting = InsertAsync(1);
        (await trap.Held.WaitAsync(TimeSpan.FromSeconds(60))).Release();

        await inserting;
        await InsertAsync(2);
        (await CountAsync()).ShouldBe(2);
    }

    [Fact]
    public async Task A_statement_outside_a_transaction_is_its_own_commit()
    {
        var trap = Arm(CommitMoment.BeforeItsReply);
        await using var command = _client.CreateCommand("insert into notes values ($1)");
        command.Parameters.Add(new() { Value = 1 });
        var inserting = command.ExecuteNonQueryAsync();
        var held = await trap.Held.WaitAsync(TimeSpan.FromSeconds(60));
        (await CountAsync()).ShouldBe(1);

        held.Release();

        (await inserting).ShouldBe(1);
    }

    [Fact]
    public async Task A_held_statement_outside_a_transaction_has_not_taken_its_locks()
    {
        var trap = Arm(CommitMoment.BeforeItArrives);
        await using var command = _client.CreateCommand("insert into notes values ($1)");
        command.Parameters.Add(new() { Value = 1 });
        var inserting = command.ExecuteNonQueryAsync();
        var held = await trap.Held.WaitAsync(TimeSpan.FromSeconds(60));

        await using (var locking = _database.DataSource.CreateCommand("begin; lock table notes nowait; commit"))
            await locking.ExecuteNonQueryAsync();

        held.Release();
        (await inserting).ShouldBe(1);
    }

    [Theory]
    [InlineData("insert into notes values ($1); select 1")]
    [InlineData("select 1; insert into notes values ($1)")]
    public async Task A_batch_outside_a_transaction_is_one_commit(string statements)
    {
        var trap = Arm(CommitMoment.BeforeItArrives, occurrence: 2);
        await InsertBothAsync();
        await using (var other = _client.CreateCommand("select 1"))
            await other.ExecuteScalarAsync();
        trap.Held.IsCompleted.ShouldBeFalse();

        var inserting = InsertBothAsync();
        var held = await trap.Held.WaitAsync(TimeSpan.FromSeconds(60));
        (await CountAsync()).ShouldBe(1);

        held.Release();
        await inserting;
        (await CountAsync()).ShouldBe(2);

        async Task InsertBothAsync()
        {
            await using var batch = _client.CreateBatch();
            foreach (var statement in statements.Split("; "))
            {
                var command = new NpgsqlBatchCommand(statement);
                if (statement.Contains("$1"))
                    command.Parameters.Add(new() { Value = 1 });
                batch.BatchCommands.Add(command);
            }

            await batch.ExecuteNonQueryAsync();
        }
    }

    [Fact]
    public async Task A_prepared_statement_is_recognised_at_each_execution()
    {
        await using var connection = await _client.OpenConnectionAsync();
        await using var command = new NpgsqlCommand("insert into notes values ($1)", connection) { Parameters = { new() { Value = 1 } } };
        await command.PrepareAsync();
        await command.ExecuteNonQueryAsync();
        var trap = Arm(CommitMoment.BeforeItsReply, occurrence: 2);

        await command.ExecuteNonQueryAsync();
        trap.Held.IsCompleted.ShouldBeFalse();
        var third = command.ExecuteNonQueryAsync();

        (await trap.Held.WaitAsync(TimeSpan.FromSeconds(60))).Release();
        await third;
        (await CountAsync()).ShouldBe(3);
    }

    [Fact]
    public async Task Only_the_selected_occurrence_is_held()
    {
        var trap = Arm(CommitMoment.BeforeItArrives, occurrence: 3);
        await using (var other = _client.CreateCommand("select 1"))
            await other.ExecuteScalarAsync();
        await InsertAsync(1);
        await InsertAsync(2);
        trap.Held.IsCompleted.ShouldBeFalse();
        var third = InsertAsync(3);

        (await trap.Held.WaitAsync(TimeSpan.FromSeconds(60))).Release();

        await third;
        await InsertAsync(4);
        (await CountAsync()).ShouldBe(4);
    }

    [Fact]
    public async Task A_disarmed_trap_holds_nothing()
    {
        var trap = Arm(CommitMoment.BeforeItArrives);
        trap.Disarm().ShouldBeTrue();

        await InsertAsync(1);

        trap.Held.IsCanceled.ShouldBeTrue();
        trap.Disarm().ShouldBeFalse();
    }

    [Fact]
    public async Task Results_of_any_size_pass_unchanged()
    {
        await using var command = _client.CreateCommand("select string_agg(n::text, ',') from generate_series(1, 200000) n where $1::text is not null");
        command.Parameters.Add(new() { Value = new string('x', 300_000) });

        (await command.ExecuteScalarAsync()).ShouldBe(string.Join(',', Enumerable.Range(1, 200_000)));
    }

    private CommitTrap Arm(CommitMoment moment, int occurrence = 1)
    {
        var trap = new CommitTrap("insert into notes", moment, occurrence);
        _proxy.Arm(trap);
        return trap;
    }

    private async Task InsertAsync(int n)
    {
        await using var connection = await _client.OpenConnectionAsync();
        await using var transaction = await connection.BeginTransactionAsync();
        await using var command = new NpgsqlCommand("insert into notes values ($1)", connection, transaction) { Parameters = { new() { Value = n } } };
        await command.ExecuteNonQueryAsync();
        await transaction.CommitAsync();
    }

    private async Task<long> CountAsync()
    {
        await using var command = _database.DataSource.CreateCommand("select count(*) from notes");
        return (long)(await command.ExecuteScalarAsync())!;
    }
}
