using System.Net;
using System.Text.Json;
using Dapper;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Platform.ResilienceTesting;
using Platform.ServiceDefaults;
using Platform.ServiceDefaults.Postgres.Database;
using Platform.ServiceDefaults.Postgres.Messaging;
using Platform.TestSupport;

namespace Platform.EdgeTesting;

/// <summary>A message that was applied.</summary>
public sealed record AppliedMessage(string Id, string Type, string Subject, long Sequence, string Data);

/// <summary>
/// A service that receives messages behind a fault proxy. It has a real inbox on a real database, and records the messages applied, in order.
/// </summary>
public sealed class InboxPeer : IAsyncDisposable
{
    private readonly TestApp _app;
    private readonly TestDatabase _database;
    private readonly Receiver _receiver;

    private InboxPeer(TestApp app, TestDatabase database, Receiver receiver) =>
        (_app, _database, _receiver, Way) = (app, database, receiver, new TcpFaultProxy(new IPEndPoint(IPAddress.Loopback, app.Address.Port)));

    /// <summary>The proxy in front of it.</summary>
    public TcpFaultProxy Way { get; }

    /// <summary>The address for callers, which is that of the proxy.</summary>
    public string Address => $"http://{Way.EndPoint}";

    /// <summary>The number of messages received so far, including repeated ones.</summary>
    public int Deliveries => _receiver.Deliveries;

    /// <summary>While set, messages are refused with a 503 problem.</summary>
    public bool IsOverloaded
    {
        get => _receiver.IsOverloaded;
        set => _receiver.IsOverloaded = value;
    }

    /// <summary>Starts a peer that receives messages of these types.</summary>
    public static async Task<InboxPeer> StartAsync(PostgresServer server, string token, params string[] types)
    {
        var receiver = new Receiver();
        var database = await TestDatabase.CreateAsync(server);
        await using (var command = database.DataSource.CreateCommand(
            "create table applied (position bigserial primary key, id text, type text, subject text, key uuid, sequence bigint, data text)"))
        {
            await command.ExecuteNonQueryAsync();
        }

        var app = await TestApp.StartAsync(
            builder =>
            {
                builder.AddServiceDefaults();
                builder.AddPostgres("peer-db");
                var inbox = builder.AddInbox();
                foreach (var type in types)
                {
                    inbox.Handle<JsonElement>(type, ApplyAsync);
                }
            },
            app =>
            {
                app.Use(receiver.InvokeAsync);
                app.UseServiceDefaults();
                app.MapDefaultEndpoints();
                app.MapMessages();
            },
            new Dictionary<string, string?> { ["InternalToken"] = token, ["ConnectionStrings:peer-db"] = database.ConnectionString });
        await app.Get<DatabaseMigrations>().WaitAsync(CancellationToken.None);
        return new InboxPeer(app, database, receiver);
    }

    /// <summary>The applied messages of a key, in order.</summary>
    public async Task<IReadOnlyList<AppliedMessage>> AppliedAsync(Guid key)
    {
        await using var connection = await _database.DataSource.OpenConnectionAsync();
        return (await connection.QueryAsync<AppliedMessage>(
            "select id as Id, type as Type, subject as Subject, sequence as Sequence, data as Data from applied where key = @key order by position", new { key })).AsList();
    }

    /// <inheritdoc />
    public async ValueTask DisposeAsync()
    {
        await Way.DisposeAsync();
        await _app.DisposeAsync();
        await _database.DisposeAsync();
    }

    private static async Task ApplyAsync(JsonElement data, MessageContext message, IServiceProvider services, CancellationToken cancellationToken) =>
        await message.Connection.ExecuteAsync(new CommandDefinition(
            "insert into applied (id, type, subject, key, sequence, data) values (@Id, @Type, @Subject, @PartitionKey, @Sequence, @text)",
            new { message.Id, message.Type, message.Subject, message.PartitionKey, message.Sequence, text = data.GetRawText() },
            message.Transaction, cancellationToken: cancellationToken));

    private sealed class Receiver
    {
        private int _deliveries;

        public int Deliveries => Volatile.Read(ref _deliveries);

        public bool IsOverloaded { get; set; }

        public async Task InvokeAsync(HttpContext context, RequestDelegate next)
        {
            if (context.Request.Path == "/messages")
            {
                Interlocked.Increment(ref _deliveries);
                if (IsOverloaded)
                {
                    await Results.Problem("There is no time for this now. Try again later.", statusCode: 503).ExecuteAsync(context);
                    return;
                }
            }

            await next(context);
        }
    }
}
