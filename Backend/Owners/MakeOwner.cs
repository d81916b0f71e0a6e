using Microsoft.AspNetCore.Http.HttpResults;
using Npgsql;
using Platform.Backend.Database;
using Platform.ServiceDefaults.Postgres.Database;
using Platform.ServiceDefaults.Postgres.Idempotency;
using Platform.ServiceDefaults.Problems;

namespace Platform.Backend.Owners;

/// <summary>Creates an owner.</summary>
internal sealed class MakeOwner(PostgresDatabase database, Idempotency idempotency, TimeProvider time)
{
    /// <summary>201 with the new owner; or 400 naming each invalid field.</summary>
    public async Task<Results<Created<Owner>, ValidationProblem>> ExecuteAsync(NewOwner input, CancellationToken cancellationToken)
    {
        var errors = new ValidationErrors();
        OwnerRules.CheckName(errors, "name", input.Name);
        if (errors.Any)
            return errors.ToResult();

        await using var connection = await database.OpenConnectionAsync(cancellationToken);
        await using var transaction = await connection.BeginTransactionAsync(cancellationToken);
        var owner = await InsertAsync(transaction, input.Name.Trim(), time.GetUtcNow(), cancellationToken);
        return await idempotency.CommitAsync(transaction, TypedResults.Created($"/api/owners/{owner.Id}", owner), cancellationToken);
    }

    public static async Task<Owner> InsertAsync(NpgsqlTransaction transaction, string name, DateTimeOffset now, CancellationToken cancellationToken)
    {
        var owner = new Owner(Guid.CreateVersion7(now), name, now, Shops: 0, Keys: 0);
        await using var command = transaction.Command("insert into owners (id, name, created_at) values ($1, $2, $3)", owner.Id, owner.Name, owner.CreatedAt);
        await command.ExecuteNonQueryAsync(cancellationToken);
        return owner;
    }
}

/// <summary>Finds the owner for a user of the identity provider, or creates one at the first sign-in.</summary>
internal sealed class FindOrMakeOwner(PostgresDatabase database, TimeProvider time)
{
    /// <summary>The owner with the provider's <paramref name="subject"/>. Its name is updated to the provider's current one.</summary>
    public async Task<KeyOwner> ExecuteAsync(string issuer, string subject, string name, CancellationToken cancellationToken)
    {
        await using var connection = await database.OpenConnectionAsync(cancellationToken);
        await using var command = connection.Command(
            """
            insert into owners (id, name, issuer, subject, created_at) values ($1, $2, $3, $4, $5)
            on conflict on constraint owners_identity_key do update set name = excluded.name
            returning id
            """,
            Guid.CreateVersion7(time.GetUtcNow()), name, issuer, subject, time.GetUtcNow());
        return new((Guid)(await command.ExecuteScalarAsync(cancellationToken))!, name);
    }
}
