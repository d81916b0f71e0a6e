using System.Text.Json;

namespace Platform.ServiceDefaults.Postgres.Messaging;

/// <summary>A message's attributes, and the transaction for its handler's effects, which the inbox commits.</summary>
public sealed record MessageContext(
    NpgsqlTransaction Transaction, string Id, string Source, string Type, string Subject, Guid PartitionKey, long Sequence, string? CorrelationId)
{
    /// <summary>The transaction's connection.</summary>
    public NpgsqlConnection Connection => Transaction.Connection!;

    internal List<Action> Committed { get; } = [];

    /// <summary>Runs <paramref name="action"/> after the commit, to wake code that waits for the effects. It must not throw.</summary>
    public void AfterCommit(Action action) => Committed.Add(action);
}

/// <summary>Handles messages with data of type <typeparamref name="TData"/>.</summary>
public interface IMessageHandler<in TData>
{
    /// <summary>Applies the message in <see cref="MessageContext.Transaction"/> without committing it.</summary>
    /// <exception cref="MessageRefusedException">The message can never be applied; its sender keeps it as a dead letter.</exception>
    Task HandleAsync(TData data, MessageContext context, CancellationToken cancellationToken);
}

/// <summary>The message can never be applied. Answered with 422, which makes it a dead letter at its sender.</summary>
public sealed class MessageRefusedException(string reason) : Exception(reason);

/// <summary>Registers message handlers.</summary>
public sealed class InboxBuilder(IServiceCollection services)
{
    /// <summary>Handles messages of <paramref name="type"/> with a function.</summary>
    public InboxBuilder Handle<TData>(string type, Func<TData, MessageContext, IServiceProvider, CancellationToken, Task> handler)
    {
        services.AddSingleton(new MessageHandler(type, (data, context, scope, cancellationToken) =>
            handler(Read<TData>(data), context, scope, cancellationToken)));
        return this;
    }

    /// <summary>Handles messages of <paramref name="type"/> with a class, instantiated per message.</summary>
    public InboxBuilder Handle<TData, THandler>(string type) where THandler : class, IMessageHandler<TData>
    {
        services.AddScoped<THandler>();
        return Handle<TData>(type, (data, context, scope, cancellationToken) =>
            scope.GetRequiredService<THandler>().HandleAsync(data, context, cancellationToken));
    }

    private static TData Read<TData>(JsonElement data)
    {
        if (data.ValueKind is JsonValueKind.Undefined or JsonValueKind.Null)
        {
            throw new MessageRefusedException("data is missing.");
        }

        try
        {
            return data.Deserialize<TData>(PlatformJson.Tolerant)!;
        }
        catch (JsonException exception)
        {
            throw new MessageRefusedException($"data is not valid for its type: {exception.Message}");
        }
    }
}

internal sealed record MessageHandler(string Type, Func<JsonElement, MessageContext, IServiceProvider, CancellationToken, Task> HandleAsync);
