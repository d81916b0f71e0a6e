using System.Text.Json;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.AspNetCore.Mvc;
using Platform.ServiceDefaults.Paging;
using Platform.ServiceDefaults.Problems;
using Platform.ServiceDefaults.Security;

namespace Platform.ServiceDefaults.Postgres.Messaging;

/// <summary>Internal endpoints that receive messages and manage dead letters.</summary>
public static class MessageEndpoints
{
    // A shop with the maximum of 500 products of 5,000 characters is one message.
    private const int MaxMessageSize = 16 * 1024 * 1024;

    private const int MaxAttributeLength = 200;

    private static readonly JsonBodyCheck Envelope = new(PlatformJson.Tolerant);

    /// <summary>Maps <c>POST /messages</c>, <c>GET /backlog</c>, <c>GET /dead-letters</c>, <c>POST /dead-letters/redrive</c> and <c>POST /dead-letters/{id}/redrive|discard</c>.</summary>
    public static IEndpointRouteBuilder MapMessages(this IEndpointRouteBuilder endpoints)
    {
        var group = endpoints.MapGroup("").WithTags("Messages").RequireInternalToken()
            .ProducesProblem(StatusCodes.Status401Unauthorized).ProducesProblem(StatusCodes.Status503ServiceUnavailable);
        group.MapPost("/messages", Receive).WithName("ReceiveMessage").WithSummary("Accepts one CloudEvents 1.0 message. Duplicates are ignored.")
            .WithMetadata(new RequestSizeLimitAttribute(MaxMessageSize));
        group.MapGet("/backlog", ListBacklog).WithName("ListBacklog").WithSummary("The messages waiting, by destination.");
        group.MapGet("/dead-letters", List).WithName("ListDeadLetters").WithSummary("Messages that their receiver refused permanently, oldest first.");
        group.MapPost("/dead-letters/redrive", RedriveMany).WithName("RedriveDeadLetters").WithSummary("Sends all dead letters again, or all of one type.");
        group.MapPost("/dead-letters/{id:guid}/redrive", Redrive).WithName("RedriveDeadLetter").WithSummary("Sends one dead letter again.");
        group.MapPost("/dead-letters/{id:guid}/discard", Discard).WithName("DiscardDeadLetter").WithSummary("Deletes one dead letter, so that the messages behind it are sent.");
        return endpoints;
    }

    private static async Task<Results<Accepted, ValidationProblem, ProblemHttpResult>> Receive(HttpContext context, Inbox inbox, CancellationToken cancellationToken)
    {
        if (!System.Net.Http.Headers.MediaTypeHeaderValue.TryParse(context.Request.ContentType, out var contentType)
            || !string.Equals(contentType.MediaType, CloudEvent.ContentType, StringComparison.OrdinalIgnoreCase))
        {
            return Problem.UnsupportedMediaType($"Send one event as {CloudEvent.ContentType}.");
        }

        using var body = new MemoryStream();
        await context.Request.Body.CopyToAsync(body, cancellationToken);
        var errors = new ValidationErrors();
        if (Read(body.GetBuffer().AsMemory(0, (int)body.Length), errors) is not { } message)
        {
            return errors.ToResult();
        }

        try
        {
            await inbox.ReceiveAsync(message, cancellationToken);
            return TypedResults.Accepted((string?)null);
        }
        catch (MessageRefusedException exception)
        {
            return Problem.Unprocessable(exception.Message);
        }
    }

    private static async Task<Results<Ok<Page<DeadLetter>>, ValidationProblem>> List(
        [AsParameters] PageQuery query, DeadLetters deadLetters, CancellationToken cancellationToken) =>
        query.TryRead<Guid?>(out var after, out var limit, out var problem)
            ? TypedResults.Ok(Page.Of(await deadLetters.ListAsync(after, limit + 1, keys: null, cancellationToken), limit, letter => letter.Id))
            : problem;

    private static async Task<Ok<IReadOnlyList<Backlog>>> ListBacklog(Backlogs backlogs, CancellationToken cancellationToken) =>
        TypedResults.Ok(await backlogs.ListAsync(cancellationToken));

    private static async Task<Ok<Redriven>> RedriveMany(string? type, DeadLetters deadLetters, CancellationToken cancellationToken) =>
        TypedResults.Ok(new Redriven(await deadLetters.RedriveAsync(null, type, keys: null, cancellationToken)));

    private static async Task<Results<Accepted, ProblemHttpResult>> Redrive(Guid id, DeadLetters deadLetters, CancellationToken cancellationToken) =>
        await deadLetters.RedriveAsync(id, null, keys: null, cancellationToken) == 1 ? TypedResults.Accepted((string?)null) : Unknown(id);

    private static async Task<Results<NoContent, ProblemHttpResult>> Discard(Guid id, DeadLetters deadLetters, CancellationToken cancellationToken) =>
        await deadLetters.DiscardAsync(id, keys: null, cancellationToken) ? TypedResults.NoContent() : Unknown(id);

    private static ProblemHttpResult Unknown(Guid id) => Problem.NotFound($"There is no dead letter {id}.");

    private static CloudEvent? Read(ReadOnlyMemory<byte> json, ValidationErrors errors)
    {
        Envelope.Check(json, typeof(CloudEvent), errors);
        if (errors.Any)
        {
            return null;
        }

        try
        {
            var message = JsonSerializer.Deserialize<CloudEvent>(json.Span, PlatformJson.Tolerant)!;
            if (message.SpecVersion != "1.0")
            {
                errors.Add("specversion", "must be 1.0");
            }

            foreach (var (name, value) in (ReadOnlySpan<(string, string)>)[("id", message.Id), ("source", message.Source), ("type", message.Type)])
            {
                if (value.Length is 0 or > MaxAttributeLength)
                {
                    errors.Add(name, $"must have 1 to {MaxAttributeLength} characters");
                }
            }

            return errors.Any ? null : message;
        }
        catch (JsonException exception)
        {
            errors.Add(exception.Path is { Length: > 2 } path ? path[2..] : "body", "is not valid");
            return null;
        }
    }

    internal sealed record Redriven(int Count);
}
