// The history: settings and sounds in IndexedDB, which survives a reload.

let database;

function open() {
	database ||= new Promise((resolve, reject) => {
		const request = indexedDB.open("latentaudio", 1);
		request.onupgradeneeded = () =>
			request.result.createObjectStore("sounds", { keyPath: "id", autoIncrement: true });
		request.onsuccess = () => resolve(request.result);
		request.onerror = () => reject(request.error);
	});
	return database;
}

async function run(mode, work) {
	const transaction = (await open()).transaction("sounds", mode);
	const request = work(transaction.objectStore("sounds"));
	return new Promise((resolve, reject) => {
		transaction.oncomplete = () => resolve(request.result);
		transaction.onerror = transaction.onabort = () => reject(transaction.error);
	});
}

export const addSound = (sound) => run("readwrite", (store) => store.add(sound));
export const listSounds = () => run("readonly", (store) => store.getAll());
export const removeSound = (id) => run("readwrite", (store) => store.delete(id));
