using System.Net;
using System.Net.Http.Headers;
using System.Net.Mime;
using System.Text.Json;
using CloudNative.CloudEvents;
using CloudNative.CloudEvents.SystemTextJson;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Platform.ServiceDefaults.Correlation;
using Platform.ServiceDefaults.Postgres.Database;
using Platform.ServiceDefaults.Postgres.Messaging;
using Platform.TestSupport;

namespace Platform.ServiceDefaults.Postgres.Tests.Messaging;

/// <summary>Our own envelope against the CloudEvents SDK, in both directions.</summary>
public sealed class CloudEventTests(PostgresServer server) : IAsyncLifetime
{
    private static readonly JsonEventFormatter Sdk = new();

    private TestDatabase _database = null!;

    public async ValueTask InitializeAsync() => _database = await TestDatabase.CreateAsync(server);

    public async ValueTask DisposeAsync() => await _database.DisposeAsync();

    [Fact]
    public async Task The_SDK_reads_what_the_outbox_sends()
    {
        var sent = new TaskCompletionSource<(byte[] Body, string ContentType)>(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var receiver = await TestApp.StartAsync(_ => { }, app => app.MapPost("/messages", async (HttpContext context) =>
        {
            using var body = new MemoryStream();
            await context.Request.Body.CopyToAsync(body);
            sent.TrySetResult((body.ToArray(), context.Request.ContentType!));
            return Results.Accepted();
        }));
        await using var sender = await DatabaseApp.StartAsync(
            _database.ConnectionString, builder => builder.AddOutbox("sender", "receiver"), settings: new() { ["services:receiver:http:0"] = receiver.Address.ToString() });

        var key = Guid.CreateVersion7();
        Guid id;
        using (CorrelationContext.Begin("correlation-1"))
        {
            await using var connection = await sender.Get<PostgresDatabase>().OpenConnectionAsync(CancellationToken.None);
            await using var transaction = await connection.BeginTransactionAsync();
            id = await sender.Get<Outbox>().EnqueueAsync(transaction, "receiver", "note.written", key, "a subject", new { text = "Grüße" }, CancellationToken.None);
            await transaction.CommitAsync();
        }

        sender.Get<Outbox>().Wake();
        var (bytes, contentType) = await sent.Task.WaitAsync(TimeSpan.FromSeconds(60));
        var message = Sdk.DecodeStructuredModeMessage(bytes, new ContentType(contentType), null);
        message.IsValid.ShouldBeTrue();
        message.Id.ShouldBe(id.ToString());
        message.Source!.ToString().ShouldBe("sender");
        message.Type.ShouldBe("note.written");
        message.Subject.ShouldBe("a subject");
        message.Time.ShouldNotBeNull();
        message.DataContentType.ShouldBe("application/json");
        message["partitionkey"].ShouldBe(key.ToString());
        long.Parse((string)message["sequence"]!, System.Globalization.CultureInfo.InvariantCulture).ShouldBePositive();
        message["correlationid"].ShouldBe("correlation-1");
        ((JsonElement)message.Data!).GetProperty("text").GetString().ShouldBe("Grüße");
    }

    [Fact]
    public async Task The_inbox_accepts_what_the_SDK_writes()
    {
        var received = new TaskCompletionSource<(JsonElement Data, MessageContext Context)>(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var receiver = await DatabaseApp.StartAsync(
            _database.ConnectionString,
            builder => builder.AddInbox().Handle<JsonElement>("note.written", (data, context, _, _) =>
            {
                received.SetResult((data.Clone(), context));
                return Task.CompletedTask;
            }),
            app => app.MapMessages());
        var key = Guid.CreateVersion7();
        var message = new CloudNative.CloudEvents.CloudEvent(CloudEventsSpecVersion.V1_0)
        {
            Id = "message-1",
            Source = new Uri("/elsewhere", UriKind.Relative),
            Type = "note.written",
            Subject = "a subject",
            Time = DateTimeOffset.UnixEpoch,
            DataContentType = "application/json",
            Data = new { text = "Grüße" },
        };
        message.SetAttributeFromString("partitionkey", key.ToString());
        message.SetAttributeFromString("sequence", "7");
        message.SetAttributeFromString("correlationid", "correlation-1");
        using var content = new ReadOnlyMemoryContent(Sdk.EncodeStructuredModeMessage(message, out var contentType));
        content.Headers.ContentType = MediaTypeHeaderValue.Parse(contentType.ToString());
        using var response = await receiver.Client.PostAsync("/messages", content);
        response.StatusCode.ShouldBe(HttpStatusCode.Accepted, await response.Content.ReadAsStringAsync());
        var (data, context) = await received.Task;
        data.GetProperty("text").GetString().ShouldBe("Grüße");
        (context.Id, context.Source, context.Subject, context.PartitionKey, context.Sequence, context.CorrelationId).ShouldBe(("message-1", "/elsewhere", "a subject", key, 7L, "correlation-1"));
    }
}
