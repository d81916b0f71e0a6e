using System.Collections.ObjectModel;
using Dapper;
using Microsoft.Extensions.Options;
using Platform.ServiceDefaults.Postgres.Database;

namespace Platform.StoreDeployer.Stores;

/// <summary>Reads a store from the database: the pointer to its active release, and the lists of files.</summary>
internal sealed class ReadStore(PostgresDatabase database, ReleaseContents contents, IOptions<StoreOptions> options)
{
    /// <summary>The store, live or taken down; null if it has never been live.</summary>
    /// <param name="slug">The last part of its address.</param>
    /// <param name="cacheLists">Whether the lists of files are cached in memory, because they will probably be needed again.</param>
    /// <param name="cancellationToken">Cancels the read.</param>
    public async Task<Store?> ExecuteAsync(string slug, bool cacheLists, CancellationToken cancellationToken)
    {
        Guid? deleted = null;
        while (true)
        {
            var pointer = await database.ReadAsync(connection => connection.QuerySingleOrDefaultAsync<(Guid? Release, bool TakenDown, DateTime ChangedAt, Guid[] Retained)>(new CommandDefinition(
                """
                select s.active_release, s.taken_down_at is not null, s.changed_at,
                  array(select id from releases where shop_id = s.shop_id and activated_at is not null order by activated_at desc limit @RetainedReleases)
                from stores s where s.slug = @slug
                order by s.taken_down_at is null desc, s.changed_at desc limit 1
                """, new { slug, options.Value.RetainedReleases }, cancellationToken: cancellationToken)), cancellationToken);
            // Also what Dapper returns when there is no row.
            if (pointer is { Release: null, TakenDown: false })
                return null;
            var lists = pointer.Release is { } active ? await contents.FindAsync(active, pointer.Retained, cacheLists, cancellationToken) : null;
            // No files found: the release was probably replaced and deleted between the two reads, so read again. If the same release is still active, it really has no files.
            if (pointer.Release is not null && lists is null && deleted != pointer.Release)
            {
                deleted = pointer.Release;
                continue;
            }

            var none = ReadOnlyDictionary<string, StoredFile>.Empty;
            return new Store(slug, pointer.Release, pointer.TakenDown, new DateTimeOffset(pointer.ChangedAt), lists?.Files ?? none, lists?.FormerAssets ?? none);
        }
    }
}
